# Agreement of two readers: vcd (kappa, with its interval) and psych (kappa, ICC). The tables are published ones.
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "values.R"))
suppressMessages({
  library(vcd)
  library(psych)
})
tables <- list(
  abstractors = matrix(c(13, 0, 0, 0, 20, 7, 0, 4, 56), 3, byrow = TRUE), # Gwet 2014, 100 pregnancies
  skewed = matrix(c(118, 5, 2, 0), 2, byrow = TRUE),                      # Gwet 2008, high agreement
  responses = matrix(c(4, 1, 0, 0, 2, 30, 5, 1, 0, 6, 22, 4, 0, 0, 3, 20), 4, byrow = TRUE)
)
for (case in names(tables)) {
  for (weights in c("Equal-Spacing", "Fleiss-Cohen")) {
    found <- Kappa(tables[[case]], weights = weights)
    bounds <- confint(found)
    for (kind in c("Unweighted", "Weighted")) {
      name <- paste(kind, weights)
      keep(case, "value", found[[kind]][["value"]], name)
      keep(case, "error", found[[kind]][["ASE"]], name)
      keep(case, "low", bounds[kind, "lwr"], name)
      keep(case, "high", bounds[kind, "upr"], name)
    }
  }
  keep(case, "value", cohen.kappa(tables[[case]])$kappa, "psych")
}
# Shrout and Fleiss 1979, table 2: six targets, four judges.
ratings <- matrix(c(9, 2, 5, 8, 6, 1, 3, 2, 8, 4, 6, 8, 7, 1, 2, 6, 10, 5, 6, 9, 6, 2, 4, 7), 6, byrow = TRUE)
icc <- ICC(ratings, lmer = FALSE)$results
for (name in c("ICC2", "ICC3")) {
  row <- icc[icc$type == name, ]
  keep("shrout", "value", row[["ICC"]], name)
  keep("shrout", "low", row[["lower bound"]], name)
  keep("shrout", "high", row[["upper bound"]], name)
}
save_to()
