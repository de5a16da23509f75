"""Which test covers which line of the RECIST 1.1 checklist; no line is without one.

The lines are numbered as in `reference/RECIST11_CHECKLIST.md` of the project's
shared material. A test is named by file, function and, where it is a row of a
table, the row's id; the test below looks all of them up in the sources.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.shared import SHARED

HERE = Path(__file__).parent
CHECKLIST = SHARED / "reference" / "RECIST11_CHECKLIST.md"

TARGETS, OVERALL, BEST = "test_response_targets", "test_response_overall", "test_response_best"
BASELINE, IRECIST, READERS = "test_response_baseline", "test_response_irecist", "test_response_readers"
ENDPOINTS, AGREEMENT, SDTM = "test_endpoints", "test_agreement", "test_sdtm"
SECOND, COMMAND = "test_response_second_opinion", "test_response_command"

COVERED: dict[str, dict[str, list[str]]] = {
    "1": {
        "baseline at most 4 weeks before treatment": [
            f"{BASELINE}::test_age_of_baseline[28-days-before-treatment]",
            f"{BASELINE}::test_age_of_baseline[29-days-before-treatment]",
            f"{BASELINE}::test_age_of_baseline[a-day-after-treatment-began]",
        ],
    },
    "2": {
        "10 mm on CT and MRI": [
            f"{BASELINE}::test_measurability[ct-10-mm]",
            f"{BASELINE}::test_measurability[ct-9.9-mm]",
            f"{BASELINE}::test_measurability[mri-10-mm]",
        ],
        "twice a slice over 5 mm": [
            f"{BASELINE}::test_measurability[10-mm-on-5-mm-slices]",
            f"{BASELINE}::test_measurability[16-mm-on-8-mm-slices]",
            f"{BASELINE}::test_measurability[15.9-mm-on-8-mm-slices]",
        ],
        "10 mm by caliper": [
            f"{BASELINE}::test_measurability[caliper-10-mm]",
            f"{BASELINE}::test_measurability[caliper-9.9-mm]",
            f"{BASELINE}::test_measurability[not-measurable-by-caliper]",
        ],
        "20 mm on chest X-ray": [
            f"{BASELINE}::test_measurability[x-ray-20-mm]",
            f"{BASELINE}::test_measurability[x-ray-19.9-mm]",
        ],
        "no ultrasound": [f"{BASELINE}::test_measurability[ultrasound-never]"],
    },
    "3": {
        "node of 15 mm measurable": [
            f"{BASELINE}::test_measurability[node-15-mm]",
            f"{BASELINE}::test_measurability[node-14.9-mm]",
        ],
        "node of 10 mm pathological": [
            f"{BASELINE}::test_what_is_disease[node-10-mm-is-pathological]",
            f"{BASELINE}::test_what_is_disease[node-9.9-mm-is-normal]",
            f"{BASELINE}::test_normal_node_as_non_target_is_remarked_on",
        ],
        "double slice for nodes as an option": [
            f"{BASELINE}::test_measurability[node-15-mm-on-8-mm-slices]",
            f"{BASELINE}::test_measurability[node-15-mm-on-8-mm-slices-doubled]",
            f"{BASELINE}::test_thick_slices_are_held_against_targets_and_nodes_only_if_asked",
        ],
    },
    "4": {
        "never measurable": [
            f"{BASELINE}::test_measurability[{kind}]"
            for kind in (
                "leptomeningeal",
                "ascites",
                "effusion",
                "inflammatory-breast",
                "lymphangitic",
                "felt-only",
            )
        ],
        "bone": [
            f"{BASELINE}::test_measurability[bone-blastic]",
            f"{BASELINE}::test_measurability[bone-lytic-without-soft-tissue]",
            f"{BASELINE}::test_measurability[bone-with-soft-tissue]",
        ],
        "cysts": [
            f"{BASELINE}::test_measurability[cystic-metastasis]",
            f"{BASELINE}::test_what_is_disease[simple-cyst]",
        ],
        "irradiated": [
            f"{BASELINE}::test_measurability[irradiated]",
            f"{BASELINE}::test_measurability[irradiated-then-progressed]",
        ],
        "miliary nodules are non-targets": [
            f"{BASELINE}::test_measurability[miliary]",
            f"{BASELINE}::test_miliary_disease_is_no_target",
            f"{OVERALL}::test_miliary_patient_is_non_progressive_until_a_new_lesion",
        ],
    },
    "5": {
        "five targets": [
            f"{BASELINE}::test_refusals[five-targets]",
            f"{BASELINE}::test_refusals[six-targets]",
        ],
        "two an organ": [
            f"{BASELINE}::test_refusals[two-in-an-organ]",
            f"{BASELINE}::test_refusals[three-in-an-organ]",
        ],
        "lungs and nodes are one organ each": [
            f"{BASELINE}::test_refusals[three-nodes-are-one-organ]",
            f"{SDTM}::test_refusals_name_the_row[three-in-the-lungs]",
        ],
    },
    "6": {
        "longest diameters and short axes": [
            f"{TARGETS}::test_sum_takes_longest_diameters_and_short_axes_of_nodes",
            f"{SDTM}::test_nodes_are_followed_by_their_short_axis",
        ],
        "states of non-targets": [f"{SDTM}::test_non_target_states[present]"],
    },
    "7": {
        "true millimetres": [f"{TARGETS}::test_small_lesions_count[true-millimetres-under-5]"],
        "5 mm for the faint, nodes too": [
            f"{TARGETS}::test_small_lesions_count[faint-counts-5]",
            f"{TARGETS}::test_complete_response[node-too-small-counts-5-mm-and-is-normal]",
            f"{TARGETS}::test_complete_response[too-small-to-measure-is-not-gone]",
        ],
        "a measurable size is not too small": [
            f"{BASELINE}::test_too_small_may_be_recorded_as_its_5_mm",
            f"{BASELINE}::test_measurements_that_contradict[too-small-at-5.1-mm]",
        ],
        "0 if gone": [f"{TARGETS}::test_small_lesions_count[gone-counts-0]"],
        "the original result is kept": [f"{SDTM}::test_how_a_target_was_found[too-small]"],
    },
    "8": {
        "split": [
            f"{TARGETS}::test_split_lesion_counts_the_sum_of_its_pieces",
            f"{SDTM}::test_split_lesion_is_joined",
            f"{SDTM}::test_split_lesion_with_a_missing_piece_is_not_assessed",
            f"{TARGETS}::test_node_in_pieces_is_judged_piece_by_piece[each-under-10-mm-is-normal]",
            f"{TARGETS}::test_node_in_pieces_is_judged_piece_by_piece[one-of-10-mm-is-disease]",
            f"{SDTM}::test_node_in_pieces_is_followed_by_their_short_axes",
        ],
        "merged": [
            f"{TARGETS}::test_merged_lesions_count_the_whole_once",
            f"{TARGETS}::test_touching_lesions_with_a_plane_between_them_are_measured_each",
            f"{SDTM}::test_merged_lesions_are_counted_once",
            f"{BASELINE}::test_merged_lesions_need_one_that_stands_for_both[one-into-the-other]",
            f"{BASELINE}::test_merged_lesions_need_one_that_stands_for_both[circle]",
            f"{BASELINE}::test_merged_lesions_need_one_that_stands_for_both[into-what-is-gone]",
        ],
    },
    "9": {
        "all gone, nodes under 10 mm": [
            f"{TARGETS}::test_complete_response[gone]",
            f"{TARGETS}::test_complete_response[a-millimetre-left-is-not-gone]",
            f"{TARGETS}::test_complete_response[node-of-9.9-mm]",
            f"{TARGETS}::test_complete_response[node-of-10-mm]",
            f"{TARGETS}::test_complete_response_of_mixed_targets_keeps_the_size_of_normal_nodes",
            f"{SECOND}::test_two_readings_of_the_paper_agree_at_every_visit",
        ],
    },
    "10": {
        "30 % inclusive": [
            f"{TARGETS}::test_target_response[exactly-30-percent-below-baseline]",
            f"{TARGETS}::test_target_response[just-under-30-percent-below-baseline]",
        ],
    },
    "11": {
        "20 % inclusive": [
            f"{TARGETS}::test_target_response[exactly-20-percent-above-baseline-as-nadir]",
            f"{TARGETS}::test_target_response[just-under-20-percent]",
        ],
        "and 5 mm inclusive": [
            f"{TARGETS}::test_target_response[exactly-5-mm-and-20-percent]",
            f"{TARGETS}::test_target_response[20-percent-but-only-4.9-mm]",
            f"{TARGETS}::test_target_response[40-percent-but-only-4-mm]",
            f"{TARGETS}::test_target_response[5-mm-but-only-5-percent]",
        ],
        "nadir includes baseline, only complete sums": [
            f"{TARGETS}::test_target_response[nadir-includes-baseline]",
            f"{TARGETS}::test_target_response[progression-counts-from-the-nadir]",
            f"{TARGETS}::test_target_response[nadir-is-the-smallest-not-the-last]",
            f"{TARGETS}::test_incomplete_sum_is_no_nadir",
            f"{SECOND}::test_nadir_and_baseline_in_the_table_are_those_of_the_raw_measurements",
        ],
        "nadir of 0": [
            f"{TARGETS}::test_target_response[back-at-5-mm-after-all-gone]",
            f"{TARGETS}::test_target_response[back-at-4.9-mm-after-all-gone]",
        ],
        "reappearance": [
            f"{TARGETS}::test_one_target_back_is_no_progression_while_others_persisted",
            f"{TARGETS}::test_targets_gone_and_back_while_a_non_target_persisted_follow_the_sum",
            f"{TARGETS}::test_disease_back_after_complete_response[2-mm-back-after-complete-response]",
            f"{TARGETS}::test_disease_back_after_complete_response[node-back-at-9.9-mm-is-normal]",
            f"{TARGETS}::test_disease_back_after_complete_response[node-back-at-10-mm-is-disease]",
            f"{OVERALL}::test_non_target_back_after_complete_response_is_progression",
        ],
    },
    "12": {
        "stable is neither": [f"{TARGETS}::test_target_response[stable-is-neither]"],
        "a PR goes on": [
            f"{TARGETS}::test_target_response[eortc-165-63-65-goes-on-as-pr]",
            f"{TARGETS}::test_pr_that_stays_above_the_nadir[confirmed-pr-goes-on]",
            f"{TARGETS}::test_pr_that_stays_above_the_nadir[unconfirmed-pr-does-not]",
            f"{TARGETS}::test_pr_that_stays_above_the_nadir[confirmed-pr-ends-with-pd]",
        ],
    },
    "13": {
        "exact decimals": [
            f"{TARGETS}::test_target_response[exactly-20-percent-in-floats]",
            f"{TARGETS}::test_target_response[exactly-30-percent-below-in-floats]",
            f"{TARGETS}::test_a_fifth_more_is_progression_for_every_nadir_in_tenths",
        ],
        "CR before PD": [f"{TARGETS}::test_complete_response[node-growing-from-6-to-9-mm-is-still-cr]"],
    },
    "14": {
        "missing targets": [
            f"{TARGETS}::test_missing_targets[the-papers-50-mm-baseline-two-lesions-make-80]",
            f"{TARGETS}::test_missing_targets[measured-part-exactly-20-percent-above]",
            f"{TARGETS}::test_missing_targets[measured-part-just-under-20-percent]",
            f"{TARGETS}::test_missing_targets[no-response-without-all-targets]",
            f"{TARGETS}::test_missing_targets[nothing-measured]",
        ],
    },
    "15": {
        "CR": [
            f"{OVERALL}::test_non_target_response[all-gone]",
            f"{OVERALL}::test_non_target_response[node-of-9.9-mm-is-normal]",
            f"{OVERALL}::test_non_target_response[node-of-10-mm-persists]",
            f"{SDTM}::test_non_target_too_small_to_measure[a-node-of-5-mm-is-normal]",
            f"{SDTM}::test_non_target_too_small_to_measure[a-mass-is-still-there]",
        ],
        "markers": [
            f"{OVERALL}::test_non_target_response[markers-normal]",
            f"{OVERALL}::test_non_target_response[markers-raised]",
            f"{OVERALL}::test_raised_markers_keep_gone_targets_from_cr",
        ],
        "non-CR/non-PD": [f"{OVERALL}::test_non_target_response[one-persists]"],
        "unequivocal progression": [
            f"{OVERALL}::test_non_target_response[unequivocal-progression]",
            f"{OVERALL}::test_called_progression_is_held_against_the_measured_burden[burden-up-73]",
            f"{OVERALL}::test_called_progression_is_held_against_the_measured_burden[burden-up-72.9]",
        ],
        "NE if any is not assessed": [
            f"{OVERALL}::test_non_target_response[one-not-assessed]",
            f"{OVERALL}::test_non_target_response[one-not-mentioned]",
            f"{OVERALL}::test_non_target_response[progression-though-one-not-assessed]",
        ],
    },
    "16": {
        "unequivocal and equivocal": [
            f"{OVERALL}::test_new_lesion[unequivocal]",
            f"{OVERALL}::test_new_lesion[equivocal]",
            f"{OVERALL}::test_equivocal_lesion_proven_later_dates_from_when_it_was_first_seen",
            f"{OVERALL}::test_equivocal_lesion_that_stays_equivocal_is_no_progression",
            f"{SDTM}::test_equivocal_new_lesion_waits_for_proof",
        ],
        "new nodes": [
            f"{OVERALL}::test_new_lesion[node-10-mm]",
            f"{OVERALL}::test_new_lesion[node-9.9-mm]",
            f"{OVERALL}::test_small_new_node_asks_to_look_again",
            f"{OVERALL}::test_new_node_dates_from_when_it_was_disease[normal-at-9.9-mm]",
            f"{OVERALL}::test_new_node_dates_from_when_it_was_disease[equivocal-at-10-mm]",
        ],
        "region not scanned": [f"{OVERALL}::test_new_lesion[region-not-scanned-before]"],
        "FDG-PET": [
            f"{OVERALL}::test_new_lesion[pet-negative-then-positive]",
            f"{OVERALL}::test_new_lesion[pet-new-site-confirmed-by-ct]",
            f"{OVERALL}::test_new_lesion[pet-not-on-ct-is-followed]",
            f"{OVERALL}::test_new_lesion[pet-on-a-known-site]",
            f"{OVERALL}::test_pet_finding_proven_on_ct_later_dates_from_the_pet",
        ],
    },
    "Overall (Table 1": {
        "every row": [
            f"{OVERALL}::test_table_1[{row}]"
            for row in (
                "CR-CR-no",
                "CR-nonCRnonPD-no",
                "CR-NE-no",
                "PR-nonPD-no",
                "PR-NE-no",
                "SD-nonPD-no",
                "SD-NE-no",
                "NE-nonPD-no",
            )
        ],
        "progression": [
            f"{OVERALL}::test_table_1_target_progression_any_any_is_pd",
            f"{OVERALL}::test_table_1_any_non_target_progression_any_is_pd",
            f"{OVERALL}::test_table_1_any_any_new_lesion_is_pd",
        ],
        "no non-target disease at baseline": [f"{OVERALL}::test_table_1[CR-none-no]"],
    },
    "Overall (Table 2": {
        "every row": [
            f"{OVERALL}::test_table_2[{row}]"
            for row in (
                "CR-no",
                "nonCRnonPD-no-is-the-papers-NPD",
                "NE-no",
                "unequivocal-PD-no",
                "nonCRnonPD-yes",
            )
        ],
        "no PR, no SD": [f"{OVERALL}::test_without_targets_there_is_no_pr_and_no_sd"],
        "no disease at baseline": [
            f"{OVERALL}::test_table_2[nothing-at-baseline-no]",
            f"{OVERALL}::test_table_2[nothing-at-baseline-yes]",
            f"{OVERALL}::test_patient_without_any_disease_at_baseline",
        ],
    },
    "17": {
        "until progression": [
            f"{BEST}::test_unconfirmed_best[CR-after-PD-does-not-count]",
            f"{BEST}::test_what_comes_after_progression_changes_nothing",
        ],
        "until another therapy": [
            f"{BEST}::test_responses_under_another_therapy_do_not_count",
            f"{BEST}::test_progression_dated_before_another_therapy_counts_though_proven_later"
            "[between-first-seen-and-proof]",
            f"{BEST}::test_progression_dated_before_another_therapy_counts_though_proven_later"
            "[before-the-lesion-was-first-seen]",
        ],
        "order": [
            f"{BEST}::test_unconfirmed_best[non-progression-beats-progression]",
            f"{BEST}::test_unconfirmed_best[PD-beats-NE]",
            f"{BEST}::test_unconfirmed_best[no-time-point]",
        ],
    },
    "18": {
        "4 weeks inclusive": [
            f"{BEST}::test_confirmation_needs_four_weeks[27-days]",
            f"{BEST}::test_confirmation_needs_four_weeks[28-days]",
        ],
        "table 3": [
            f"{BEST}::test_table_3[{row}]"
            for row in (
                "CR-CR",
                "CR-PR-as-progression",
                "CR-SD",
                "CR-PD",
                "CR-NE",
                "PR-CR",
                "PR-PR",
                "PR-SD",
                "PR-PD",
                "PR-NE",
                "NE-NE",
            )
        ],
        "CR, then a scan that shows no disease": [
            f"{BEST}::test_scan_that_shows_no_disease_is_no_end_of_a_complete_response[{row}]"
            for row in (
                "non-target-not-assessed",
                "marker-above-normal",
                "a-target-of-4-mm-is-back",
                "the-effusion-is-back",
            )
        ],
        "CR then PR revised": [f"{BEST}::test_confirmed_best[CR-was-a-PR-all-along]"],
        "NE and SD between": [
            f"{BEST}::test_confirmed_best[one-NE-between-is-confirmed]",
            f"{BEST}::test_confirmed_best[two-NE-between-are-not]",
            f"{BEST}::test_confirmed_best[an-SD-between-is-not]",
            f"{BEST}::test_confirmed_best[an-SD-between-where-allowed]",
            f"{BEST}::test_confirmed_best_agrees_with_admiralonco",
        ],
    },
    "19": {
        "minimum duration": [
            f"{BEST}::test_stable_disease_has_to_last_six_weeks[day-41]",
            f"{BEST}::test_stable_disease_has_to_last_six_weeks[day-42]",
            f"{BEST}::test_non_progression_too_short_is_what_comes_next[day-41]",
            f"{BEST}::test_early_stable_disease_and_lost_is_not_evaluable",
        ],
        "none for PD, CR, PR": [f"{BEST}::test_progression_and_unconfirmed_responses_need_no_minimum"],
    },
    "20": {
        "symptomatic deterioration": [
            f"{ENDPOINTS}::test_symptomatic_deterioration_is_no_objective_progression"
        ],
        "early death": [
            f"{BEST}::test_early_death[not-evaluable]",
            f"{BEST}::test_early_death[progression]",
            f"{BEST}::test_early_death[apart]",
        ],
    },
    "21": {
        "rates": [
            f"{ENDPOINTS}::test_rates_of_the_paper",
            f"{ENDPOINTS}::test_rates_have_exact_intervals[papers-tki-30-of-43]",
            f"{ENDPOINTS}::test_not_evaluable_patients_count_as_the_protocol_says",
            f"{ENDPOINTS}::test_patient_without_any_read_is_never_assessed_and_no_responder",
            f"{COMMAND}::test_protocol_file_says_what_recist_leaves_open",
        ],
    },
    "22": {
        "progression": [
            f"{OVERALL}::test_progression_by_new_lesion_dates_from_its_own_scan",
            f"{OVERALL}::test_progression_by_sum_dates_from_the_last_target_scan",
            f"{OVERALL}::test_progression_by_sum_dates_from_the_first_scan_where_the_protocol_says_so",
        ],
        "censoring": [f"{ENDPOINTS}::test_scan_on_two_days_is_censored_at_its_last_component"],
    },
    "23": {
        "FDA and EMA": [
            f"{ENDPOINTS}::test_censoring_rules[{row}]"
            for row in (
                "progression",
                "death",
                "no-progression-last-adequate-scan",
                "lost-to-follow-up",
                "no-scan-after-baseline",
                "no-baseline",
                "no-baseline-but-early-death",
                "death-before-the-second-scan-was-overdue",
                "death-after-two-missed-and-no-scan",
                "new-therapy-before-progression",
                "new-therapy-on-the-day-of-progression",
                "progression-after-exactly-one-missed-visit",
                "progression-after-two-missed-visits",
                "death-after-two-missed-visits",
                "death-within-the-window-of-the-second",
            )
        ],
        "the rule is named": [f"{ENDPOINTS}::test_every_time_says_in_words_what_ended_it"],
    },
    "24": {
        "TTP": [f"{ENDPOINTS}::test_time_to_progression_censors_death"],
        "duration of response": [
            f"{ENDPOINTS}::test_duration_of_response[until-progression]",
            f"{ENDPOINTS}::test_duration_of_response_is_for_responders",
            f"{ENDPOINTS}::test_confirmed_response_counts_from_its_first_day",
            f"{ENDPOINTS}::test_duration_starts_with_the_partial_response_before_the_complete_one",
        ],
        "OS": [
            f"{ENDPOINTS}::test_overall_survival[from-diagnosis-to-death]",
            f"{ENDPOINTS}::test_overall_survival[alive-at-last-contact]",
            f"{ENDPOINTS}::test_overall_survival_may_start_at_treatment",
        ],
        "months": [f"{ENDPOINTS}::test_months_are_days_over_30_4375"],
    },
    "25": {
        "the paper's PFS": [
            f"{ENDPOINTS}::test_progression_free_survival_of_the_paper[objective]",
            f"{ENDPOINTS}::test_progression_free_survival_of_the_paper[clinical-sign-first]",
            f"{ENDPOINTS}::test_progression_free_survival_of_the_paper[clinical-sign-later]",
            f"{ENDPOINTS}::test_progression_free_survival_of_the_paper[death]",
        ],
    },
    "iRECIST": {
        "first PD is unconfirmed": [f"{IRECIST}::test_targets[first-progression-is-unconfirmed]"],
        "4 to 8 weeks": [
            f"{IRECIST}::test_confirmation_comes_after_four_to_eight_weeks[27-days-is-too-early]",
            f"{IRECIST}::test_confirmation_comes_after_four_to_eight_weeks[28-days]",
            f"{IRECIST}::test_confirmation_comes_after_four_to_eight_weeks[56-days]",
            f"{IRECIST}::test_confirmation_comes_after_four_to_eight_weeks[57-days-is-late-and-said]",
        ],
        "further 5 mm of targets": [
            f"{IRECIST}::test_targets[further-5-mm-confirms]",
            f"{IRECIST}::test_targets[further-4.9-mm-does-not]",
            f"{IRECIST}::test_targets[growth-adds-up-over-visits]",
        ],
        "any further non-target growth": [f"{IRECIST}::test_non_targets[any-further-growth-confirms]"],
        "size or number of new lesions": [
            f"{IRECIST}::test_new_lesions[measured-up-5-mm]",
            f"{IRECIST}::test_new_lesions[measured-up-4.9-mm]",
            f"{IRECIST}::test_new_lesions[not-measurable-any-growth]",
            f"{IRECIST}::test_new_lesions[one-more-confirms]",
        ],
        "stays iUPD": [f"{IRECIST}::test_targets[no-change-stays-unconfirmed]"],
        "the bar is set back": [
            f"{IRECIST}::test_targets[shrinkage-sets-the-bar-back]",
            f"{IRECIST}::test_targets[response-after-pseudoprogression]",
            f"{IRECIST}::test_new_lesion_does_not_forbid_a_response_when_targets_shrink_further",
        ],
        "5 new lesions, 2 an organ": [f"{IRECIST}::test_new_lesions_are_measured_five_in_all_two_an_organ"],
        "date of progression": [
            f"{IRECIST}::test_progression_day[confirmed-dates-from-the-first-iUPD]",
            f"{IRECIST}::test_progression_day[no-later-scan]",
            f"{COMMAND}::test_trial_files_become_tables",
        ],
    },
    "Readers": {
        "two readers and an adjudicator who chooses one": [
            f"{READERS}::test_adjudicator_chooses_one_reader_by_time_point",
            f"{READERS}::test_adjudicator_chooses_one_reader_for_the_date_of_progression",
            f"{READERS}::test_agreement_needs_no_adjudicator",
            f"{READERS}::test_adjudication_that_cannot_be_done[third-opinion]",
            f"{SDTM}::test_adjudicator_of_a_trial_chooses_a_reader",
            f"{SDTM}::test_adjudication_that_cannot_stand_is_refused[third-opinion]",
            f"{READERS}::test_two_accepted_readers_of_one_visit_are_refused",
        ],
        "adjudication rate": [f"{READERS}::test_adjudication_rate"],
        "each response keeps where it came from": [
            f"{READERS}::test_accepted_response_keeps_the_reader_it_came_from",
            f"{SDTM}::test_sample_accepts_one_reader_a_visit",
            f"{READERS}::test_patient_of_whom_nothing_was_accepted_counts_in_the_accepted_series",
        ],
        "kappa, PABAK, AC1": [
            f"{AGREEMENT}::test_kappa_agrees_with_r",
            f"{AGREEMENT}::test_chance_corrected_coefficients_agree_with_irrcac",
            f"{AGREEMENT}::test_skewed_margins_sink_kappa_and_not_ac1",
        ],
        "ICC and Bland-Altman": [
            f"{AGREEMENT}::test_icc_agrees_with_shrout_and_fleiss_and_r[icc-2-1]",
            f"{AGREEMENT}::test_icc_agrees_with_shrout_and_fleiss_and_r[icc-3-1]",
            f"{AGREEMENT}::test_bland_altman_of_two_flow_meters",
        ],
        "early and late discrepancy": [f"{READERS}::test_discrepancy_rates_of_site_and_centre"],
    },
    "iBOR fixtures": {
        "table 3 of Seymour 2017": [
            f"{IRECIST}::test_best_response[{row}]"
            for row in (
                "example-1",
                "example-2-iPR",
                "example-2-iSD",
                "example-2-NE",
                "example-3",
                "example-4-iSD",
                "example-4-NE",
                "example-5",
                "example-6-nothing-counts-after-iCPD",
                "example-7",
                "example-8",
            )
        ],
    },
    "Known-wrong public expectations": {
        "30 to 36 mm is progression": [f"{TARGETS}::test_target_response[20-percent-and-6-mm]"],
        "under 10 mm is not 0": [f"{TARGETS}::test_small_lesions_count[true-millimetres-under-5]"],
        "no longest interval to confirmation": [f"{BEST}::test_confirmed_best[one-NE-between-is-confirmed]"],
        "PR then PD is SD": [f"{BEST}::test_table_3[PR-PD]"],
        "nodal CR is not a sum of 0": [
            f"{TARGETS}::test_complete_response_of_mixed_targets_keeps_the_size_of_normal_nodes"
        ],
        "the nadir is not ignored": [f"{TARGETS}::test_target_response[progression-counts-from-the-nadir]"],
    },
}


@cache
def written_tests(module: str) -> dict[str, frozenset[str]]:
    """Return the test functions of a module, each with the ids its decorators name."""
    tree = ast.parse((HERE / f"{module}.py").read_text(encoding="utf-8"))
    tables = {
        target.id: assignment.value
        for assignment in tree.body
        if isinstance(assignment, ast.Assign)
        for target in assignment.targets
        if isinstance(target, ast.Name)
    }
    return {
        function.name: frozenset(
            text
            for decorator in function.decorator_list
            for node in _with_tables(decorator, tables)
            for text in _ids(node)
        )
        for function in tree.body
        if isinstance(function, ast.FunctionDef) and function.name.startswith("test_")
    }


def _with_tables(decorator, tables):
    """Yield a decorator's nodes, and those of the module's tables that it names."""
    for node in ast.walk(decorator):
        yield node
        if isinstance(node, ast.Name) and node.id in tables:
            yield from ast.walk(tables[node.id])


def _ids(node):
    if isinstance(node, ast.keyword) and node.arg == "id" and isinstance(node.value, ast.Constant):
        yield node.value.value


ALL_TESTS = sorted({test for claims in COVERED.values() for tests in claims.values() for test in tests})


@pytest.mark.parametrize("test", ALL_TESTS)
def test_covering_test_exists(test):
    module, _, name = test.partition("::")
    function, _, row = name.rstrip("]").partition("[")
    assert function in written_tests(module), f"no test {function} in {module}.py"
    assert not row or row in written_tests(module)[function], f"{function} has no row {row}"


@pytest.mark.parametrize("line", [str(number) for number in range(1, 26)])
def test_every_numbered_line_is_covered(line):
    assert any(tests for tests in COVERED.get(line, {}).values())


def test_no_claim_is_without_a_test():
    assert not [
        (line, claim) for line, claims in COVERED.items() for claim, tests in claims.items() if not tests
    ]


@pytest.mark.skipif(not CHECKLIST.is_file(), reason=f"needs {CHECKLIST}: set MIPC_SHARED")
def test_every_line_of_the_checklist_is_covered():
    """Numbered lines by number, the others by how their heading begins; a new line or heading fails here."""
    text = CHECKLIST.read_text(encoding="utf-8")
    numbers = re.findall(r"^(\d+) ", text, re.MULTILINE)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    numbered_sections = (
        "Baseline",
        "Target response",
        "Non-target",
        "Best overall response",
        "Time to event",
    )
    lines = numbers + [heading for heading in headings if not heading.startswith(numbered_sections)]
    uncovered = [line for line in lines if not any(line == key or line.startswith(key) for key in COVERED)]
    assert not uncovered
    assert len(numbers) == 25
