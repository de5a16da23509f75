# Every reference script collects its numbers with keep() and writes them with save_to().
# usage: Rscript SCRIPT.R FOLDER_WITH_DATA OUTPUT.csv
arguments <- commandArgs(trailingOnly = TRUE)
data_folder <- arguments[1]
output_file <- arguments[2]
kept <- list()
keep <- function(case, quantity, values, names = seq_along(values)) {
  kept[[length(kept) + 1]] <<- data.frame(
    case = case, quantity = quantity, name = as.character(names),
    value = sprintf("%.17g", as.numeric(values))
  )
}
save_to <- function() {
  write.csv(do.call(rbind, kept), output_file, row.names = FALSE, quote = FALSE)
}
