# Kaplan-Meier, log-rank, Cox, zph, concordance: R 4.2, survival 3.5.
suppressPackageStartupMessages(library(survival))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "values.R"))
# coxph stops at 1e-9 of the likelihood by default, which leaves five digits of a coefficient.
tight <- suppressWarnings(coxph.control(eps = 1e-14, iter.max = 50))

keep_curve <- function(case, fit, horizon) {
  # A dozen events along the curve are as good as all.
  events <- which(fit$n.event > 0 & fit$surv > 0)
  events <- events[unique(round(seq(1, length(events), length.out = 12)))]
  keep(case, "time", fit$time[events])
  keep(case, "survival", fit$surv[events])
  keep(case, "se", (if (fit$logse) fit$std.err * fit$surv else fit$std.err)[events])
  keep(case, "low", fit$lower[events])
  keep(case, "high", fit$upper[events])
  table <- summary(fit, rmean = horizon)$table
  keep(case, "median", table[c("median", "0.95LCL", "0.95UCL")])
  keep(case, "restricted_mean", table[c("rmean", "se(rmean)")])
}

keep_cox <- function(case, fit, data) {
  names <- names(coef(fit))
  keep(case, "coefficients", coef(fit), names)
  naive <- if (is.null(fit$naive.var)) fit$var else fit$naive.var
  keep(case, "se_model", sqrt(diag(naive)), names)
  if (!is.null(fit$naive.var)) {
    keep(case, "se_robust", sqrt(diag(fit$var)), names)
    keep(case, "robust_score", fit$rscore)
  }
  keep(case, "log_likelihood", rev(fit$loglik), c("fit", "null"))
  keep(case, "score", fit$score)
  keep(case, "wald", fit$wald.test)
  for (transform in c("km", "rank", "identity", "log")) {
    test <- cox.zph(fit, transform = transform, terms = FALSE)
    keep(case, paste0("zph_", transform), test$table[, "chisq"], rownames(test$table))
  }
  keep(case, "martingale", residuals(fit, "martingale")[1:30])
  keep(case, "deviance_first", residuals(fit, "deviance")[1:20])
}

if (file.exists(file.path(data_folder, "months.csv"))) {
  months <- read.csv(file.path(data_folder, "months.csv"))
  for (type in c("log", "log-log", "plain", "logit", "arcsin")) {
    keep_curve(paste0("curve-", type), survfit(Surv(stop, event) ~ 1, months, conf.type = type), 24)
  }
  keep_curve("curve-entry", survfit(Surv(entry, stop, event) ~ 1, months), 24)
  keep_curve("curve-weighted", survfit(Surv(stop, event) ~ 1, months, weights = weight), 24)
  weighted <- survfit(Surv(entry, stop, event) ~ 1, months, weights = weight)
  keep_curve("curve-weighted-entry", weighted, 24)
  for (rho in 0:1) {
    test <- survdiff(Surv(stop, event) ~ stratum, months, rho = rho)
    keep("groups", paste0("log_rank_rho_", rho), c(test$chisq, test$obs, test$exp))
    test <- survdiff(Surv(stop, event) ~ sex + strata(stratum), months, rho = rho)
    keep("strata", paste0("log_rank_rho_", rho), test$chisq)
  }
  for (ties in c("efron", "breslow")) {
    plain <- coxph(Surv(stop, event) ~ age + sex + dose, months, ties = ties, control = tight)
    keep_cox(paste0("plain-", ties), plain)
    score <- coxph(Surv(stop, event) ~ age + sex + dose, months, ties = ties, robust = TRUE, control = tight)
    keep(paste0("plain-", ties), "se_robust", sqrt(diag(score$var)), names(coef(score)))
    keep_cox(paste0("weighted-", ties), coxph(Surv(stop, event) ~ age + sex + dose, months,
      weights = weight, ties = ties, control = tight
    ))
    keep_cox(paste0("everything-", ties), coxph(
      Surv(entry, stop, event) ~ age + sex + dose + strata(stratum), months,
      weights = weight, cluster = center, ties = ties, control = tight
    ))
  }
  fit <- coxph(Surv(stop, event) ~ age + sex + dose, months, control = tight)
  keep("plain-efron", "concordance", c(fit$concordance["concordance"], fit$concordance["std"]))
  # Score residuals of the five, for the influence functions built on them.
  keep("plain-efron", "score_residuals", t(residuals(fit, "score")[1:5, ]))
  keep("plain-efron", "schoenfeld", t(residuals(fit, "schoenfeld")[1:5, ]))
  keep("plain-efron", "drift", t(cox.zph(fit)$y[1:5, ]))
  hazard <- basehaz(fit, centered = FALSE)
  keep("plain-efron", "baseline", hazard$hazard[hazard$time %in% c(1, 5, 12, 24)])
  fit <- coxph(Surv(stop, event) ~ age + sex + strata(stratum), months, weights = weight, control = tight)
  keep("strata-weighted", "concordance", fit$concordance[c("concordance", "std")])
  fit <- coxph(Surv(stop, event) ~ age + sex + dose, months, control = tight)
  eta <- predict(fit, type = "lp")
  cuts <- quantile(eta, 1:3 / 4)
  member <- factor(findInterval(eta, cuts, left.open = TRUE))
  test <- coxph(Surv(stop, event) ~ age + sex + dose + member, months,
    init = c(coef(fit), 0, 0, 0), control = coxph.control(iter.max = 0)
  )
  keep("plain-efron", "gronnesby_borgan", test$score)
}

# R's own data sets: their copyright is survival's (LGPL), so they are read here and not kept with mipc.
one <- lung[complete.cases(lung[, c("age", "sex", "ph.ecog", "wt.loss", "inst")]), ]
one$death <- one$status - 1
veteran$small <- as.numeric(veteran$celltype == "smallcell")
myeloma <- mgus2[complete.cases(mgus2[, c("age", "hgb", "creat", "mspike")]), ]
myeloma$man <- as.numeric(myeloma$sex == "M")
myeloma$futime <- pmax(myeloma$futime, 0.5)
if (length(arguments) > 2) {
  write.csv(one, file.path(arguments[3], "lung.csv"), row.names = FALSE)
  write.csv(veteran, file.path(arguments[3], "veteran.csv"), row.names = FALSE)
  write.csv(heart, file.path(arguments[3], "heart.csv"), row.names = FALSE)
  write.csv(myeloma, file.path(arguments[3], "mgus2.csv"), row.names = FALSE)
}
keep_curve("lung", survfit(Surv(time, death) ~ 1, one), 500)
keep_curve("veteran", survfit(Surv(time, status) ~ 1, veteran), 300)
keep_curve("mgus2", survfit(Surv(futime, death) ~ 1, myeloma), 200)
keep("lung", "log_rank", survdiff(Surv(time, death) ~ ph.ecog, one)$chisq)
keep("veteran", "log_rank", survdiff(Surv(time, status) ~ celltype, veteran)$chisq)
keep("mgus2", "log_rank", survdiff(Surv(futime, death) ~ sex, myeloma)$chisq)
for (ties in c("efron", "breslow")) {
  keep_cox(paste0("lung-", ties), coxph(Surv(time, death) ~ age + sex + ph.ecog + wt.loss, one,
    ties = ties, control = tight, cluster = inst
  ))
  keep_cox(paste0("veteran-", ties), coxph(Surv(time, status) ~ karno + age + small + strata(trt), veteran,
    ties = ties, control = tight, robust = TRUE
  ))
  keep_cox(paste0("mgus2-", ties), coxph(Surv(futime, death) ~ age + man + hgb + creat, myeloma,
    ties = ties, control = tight, robust = TRUE
  ))
  heart$transplanted <- as.numeric(heart$transplant == 1)
  keep_cox(paste0("heart-", ties), coxph(Surv(start, stop, event) ~ age + year + surgery + transplanted, heart,
    ties = ties, control = tight, cluster = id
  ))
}
save_to()
