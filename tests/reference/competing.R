# Multi-state survfit and finegray: R 4.2, survival 3.5.
suppressPackageStartupMessages(library(survival))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "values.R"))
tight <- suppressWarnings(coxph.control(eps = 1e-14, iter.max = 50))
months <- read.csv(file.path(data_folder, "months.csv"))
months$state <- factor(months$cause, 0:2, c("censored", "one", "two"))
months$patient <- seq_len(nrow(months))
for (weighted in c(FALSE, TRUE)) {
  case <- if (weighted) "curve-weighted" else "curve"
  months$used <- if (weighted) months$weight else 1
  fit <- survfit(Surv(stop, state) ~ 1, months, weights = used, id = patient)
  places <- which(fit$time %in% c(1, 3, 6, 12, 20, 30))
  for (cause in 1:2) {
    keep(paste0(case, "-", cause), "incidence", fit$pstate[places, cause + 1], fit$time[places])
    keep(paste0(case, "-", cause), "se", fit$std.err[places, cause + 1], fit$time[places])
    keep(paste0(case, "-", cause), "low", fit$lower[places, cause + 1], fit$time[places])
    keep(paste0(case, "-", cause), "high", fit$upper[places, cause + 1], fit$time[places])
  }
}
for (ties in c("efron", "breslow")) {
  for (cause in 1:2) {
    expanded <- finegray(Surv(stop, state) ~ age + sex + dose + patient, months, etype = c("one", "two")[cause])
    fit <- coxph(Surv(fgstart, fgstop, fgstatus) ~ age + sex + dose, expanded,
      weights = fgwt, cluster = patient, ties = ties, control = tight
    )
    keep(paste0(ties, "-", cause), "coefficients", coef(fit))
    keep(paste0(ties, "-", cause), "se_robust", sqrt(diag(fit$var)))
  }
}
save_to()
