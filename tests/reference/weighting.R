# Weights from glm, weighted coxph, and the stacked sandwich with its slope by finite differences.
suppressPackageStartupMessages(library(survival))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "values.R"))
tight <- suppressWarnings(coxph.control(eps = 1e-14, iter.max = 50))
cohort <- read.csv(file.path(data_folder, "missing.csv"))
model <- glm(tested ~ male + frail, binomial, cohort, control = glm.control(epsilon = 1e-14))
keep("model", "coefficients", coef(model))
seen <- cohort$tested == 1
z <- model.matrix(model)
for (ties in c("efron", "breslow")) {
  weights_at <- function(gamma) 1 / plogis(drop(z %*% gamma))[seen]
  known <- cohort[seen, ]
  known$w <- weights_at(coef(model))
  fit <- coxph(Surv(months, died) ~ egfr + age + frail, known, weights = w, ties = ties, control = tight)
  keep(ties, "coefficients", coef(fit))
  keep(ties, "naive", sqrt(diag(fit$naive.var)))
  keep(ties, "robust", sqrt(diag(fit$var)))
  score_at <- function(gamma) {
    known$w <- weights_at(gamma)
    frozen <- coxph(Surv(months, died) ~ egfr + age + frail, known,
      weights = w, ties = ties, init = coef(fit), control = coxph.control(iter.max = 0)
    )
    residuals(frozen, "score", weighted = TRUE)
  }
  slope <- sapply(1:3, function(j) {
    h <- replace(numeric(3), j, 1e-5)
    colSums(score_at(coef(model) + h) - score_at(coef(model) - h)) / 2e-5
  })
  stacked <- (z * (cohort$tested - fitted(model))) %*% vcov(model) %*% t(slope)
  stacked[seen, ] <- stacked[seen, ] + score_at(coef(model))
  influence <- stacked %*% fit$naive.var
  keep(ties, "m_estimation", sqrt(diag(t(influence) %*% influence)))
}
save_to()
