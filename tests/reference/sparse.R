# Firth's penalised likelihood from its definition: R's own likelihood and information, maximised numerically.
suppressPackageStartupMessages(library(survival))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "values.R"))
months <- read.csv(file.path(data_folder, "months.csv"))[1:60, ]
# Separated on purpose: nobody flagged has the event.
months$flag <- as.numeric(months$event == 0 & months$dose > 2)
months$decades <- (months$age - 60) / 10
frozen <- coxph.control(iter.max = 0)

logit_x <- cbind(1, months$decades, months$sex, months$flag)
logit_value <- function(beta, y) {
  eta <- drop(logit_x %*% beta)
  p <- plogis(eta)
  sum(y * eta - log1p(exp(eta))) + log(det(t(logit_x) %*% (logit_x * p * (1 - p)))) / 2
}
climb <- function(value, size, fixed = NULL, at = 0) {
  free <- setdiff(seq_len(size), fixed)
  full <- function(b) replace(replace(numeric(size), free, b), fixed, at)
  # Coefficients that overflow R's exp are no candidates.
  target <- function(b) tryCatch(-value(full(b)), error = function(e) 1e6)
  start <- numeric(length(free))
  for (steps in c(1e-3, 1e-5)) {
    found <- optim(start, target, method = "BFGS", control = list(
      reltol = 1e-15, maxit = 1000, ndeps = rep(steps, length(free))
    ))
    start <- found$par
  }
  list(par = full(found$par), value = -found$value)
}
report <- function(case, value, size, profiled) {
  best <- climb(value, size)
  keep(case, "coefficients", best$par)
  keep(case, "penalised", best$value)
  gap <- function(b, j) climb(value, size, j, b)$value - best$value + qchisq(0.95, 1) / 2
  for (j in profiled) {
    keep(case, paste0("limits_", j), c(
      uniroot(gap, c(best$par[j] - 6, best$par[j]), j = j, tol = 1e-4)$root,
      uniroot(gap, c(best$par[j], best$par[j] + 3), j = j, tol = 1e-4)$root
    ))
    keep(case, paste0("p_", j), pchisq(2 * (best$value - climb(value, size, j, 0)$value), 1, lower.tail = FALSE))
  }
}
for (ties in c("efron", "breslow")) {
  frozen_fit <- function(beta) {
    fit <- suppressWarnings(coxph(Surv(stop, event) ~ decades + sex + flag, months,
      init = beta, ties = ties, control = frozen
    ))
    tail(fit$loglik, 1) - log(det(fit$var)) / 2
  }
  report(paste0("cox-", ties), frozen_fit, 3, if (ties == "efron") 3)
}
report("logistic", function(b) logit_value(b, months$event), 4, 4)
plain <- glm(event ~ decades + sex, binomial, months, control = glm.control(epsilon = 1e-14))
keep("glm", "coefficients", coef(plain))
keep("glm", "se", sqrt(diag(vcov(plain))))
keep("glm", "log_likelihood", logLik(plain))
save_to()
