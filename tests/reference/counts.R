# Chi-squared, Fisher, odds ratios and proportions: R 4.2, package stats.
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "values.R"))
cells <- read.csv(file.path(data_folder, "counts.csv"))
for (number in unique(cells$table)) {
  table <- xtabs(count ~ row + column, cells[cells$table == number, ])
  plain <- suppressWarnings(chisq.test(table, correct = FALSE))
  keep(number, "chi_squared", plain$statistic)
  keep(number, "chi_squared_p", plain$p.value)
  keep(number, "yates_p", suppressWarnings(chisq.test(table, correct = TRUE))$p.value)
  exact <- fisher.test(table, workspace = 2e8)
  keep(number, "fisher_p", exact$p.value)
  if (all(dim(table) == c(2, 2))) {
    # fisher.test finds its odds ratio to a tolerance of 1e-4 only: it is compared so.
    keep(number, "conditional_odds", exact$estimate)
    keep(number, "conditional_limit", exact$conf.int)
  }
}
for (pair in list(c(0, 12), c(3, 17), c(42, 60), c(85, 85), c(85, 3612))) {
  case <- paste(pair, collapse = "/")
  keep(case, "clopper_pearson", binom.test(pair[1], pair[2])$conf.int)
  keep(case, "wilson", prop.test(pair[1], pair[2], correct = FALSE)$conf.int)
}
x <- c(61.2, 48.0, 70.3, 55.5, 66.6, 59.1, 80.2)
y <- c(63.9, 51.2, 58.8, 60.4, 77.0)
for (equal in c(TRUE, FALSE)) {
  test <- t.test(x, y, var.equal = equal)
  keep("means", paste0("t_", equal), c(test$statistic, test$parameter, test$p.value, test$conf.int))
}
z <- c(40.5, 52.2, 49.9, 61.0)
groups <- data.frame(value = c(x, y, z), group = rep(c("x", "y", "z"), c(7, 5, 4)))
keep("means", "anova_p", summary(aov(value ~ group, groups))[[1]][["Pr(>F)"]][1])
save_to()
