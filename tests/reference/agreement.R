# Agreement of two readers: vcd (kappa, with its interval) and psych (kappa, ICC). The tables are published ones.
# Intervals are those of a table with two cases more, spread evenly (Agresti & Min 2005).
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
    bounds <- confint(Kappa(tables[[case]] + 2 / length(tables[[case]]), weights = weights))
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
}
# The jackknife of Fisher's z (Arvesen & Schmitz 1970), each ICC by psych.
icc_of <- function(ratings, name) {
  all <- suppressWarnings(ICC(ratings, lmer = FALSE))$results
  all[all$type == name, "ICC"]
}
fisher_z <- function(icc, k) log((1 + (k - 1) * icc) / (1 - icc)) / 2
back <- function(z, k) (exp(2 * z) - 1) / (exp(2 * z) + k - 1)
wright <- cbind(  # Bland and Altman 1986, two flow meters
  c(494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427),
  c(512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451)
)
for (case in c("shrout", "wright")) {
  sizes <- list(shrout = ratings, wright = wright)[[case]]
  n <- nrow(sizes)
  k <- ncol(sizes)
  for (name in c("ICC2", "ICC3")) {
    without <- sapply(seq_len(n), function(i) fisher_z(icc_of(sizes[-i, ], name), k))
    pseudo <- n * fisher_z(icc_of(sizes, name), k) - (n - 1) * without
    reach <- qt(0.975, n - 1) * sd(pseudo) / sqrt(n)
    keep(case, "low", back(mean(pseudo) - reach, k), name)
    keep(case, "high", back(mean(pseudo) + reach, k), name)
  }
}
# Limits of agreement with exact intervals (Carkeet 2015), of the same flow meters.
differences <- wright[, 1] - wright[, 2]
n <- length(differences)
factors <- sd(differences) * qt(c(0.025, 0.975), n - 1, ncp = 1.96 * sqrt(n)) / sqrt(n)
keep("wright", "upper limit", mean(differences) + factors, c("low", "high"))
keep("wright", "lower limit", mean(differences) - rev(factors), c("low", "high"))
save_to()
