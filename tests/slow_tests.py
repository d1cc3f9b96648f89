"""SLOW: tests that `make test` leaves to `make test-all`, as a faster one there shows the same; sessions in processes of their own, mostly."""

from __future__ import annotations

import fnmatch

#: Patterns of node ids, less the folder; what else takes seconds is marked where it stands.
SLOW = (
    "test_docs_getting_started.py::test_the_kernel_for_a_gpu_is_right",
    "test_docs_coming_from.py::test_what_stands_for_each_tool_runs",
    "test_docs_examples.py::test_the_example_without_pauses_runs",
    "test_counting.py::test_a_plain_assertion_on_two_measurements_is_judged",
    "test_counting.py::test_the_command_line_locks_no_clock_and_flushes_caches",
    "test_counting.py::test_without_a_gpu_no_counter_is_there_either*",
    "test_counting_faults.py::test_an_ncu_that_is_killed_has_not_seen_that_there_was_no_kernel",
    "test_qualify_session.py::test_a_session_without_tests_qualifies_and_writes_a_sound_record",
    "test_lies_counters.py::test_a_comparison_takes_no_counters_of_other_inputs*",
    "test_child.py::test_cases_of_a_task_run_once_and_in_order_and_nothing_else_does",
    "test_child.py::test_a_plan_runs_nothing_and_says_what_there_is",
    "test_sanitize.py::test_a_test_that_fails_there_is_unmeasured_and_one_that_skips_is_skipped",
    "test_sanitize.py::test_the_line_of_the_test_is_told_where_a_library_made_the_call",
    "test_seeding.py::test_parent_and_child_draw_the_same",
    "test_timeout.py::test_xdist_replaces_the_worker_and_goes_on[[]spins in C with the lock]",
    "test_timeout.py::test_a_page_that_cannot_be_written_then_is_told_and_costs_no_record",
    "test_counting.py::test_two_counters_of_zero_are_never_a_pass",
    "test_counting.py::test_with_xdist_there_is_one_start_and_every_worker_reads_it",
    "test_counting.py::test_a_case_that_breaks_in_the_child_costs_only_its_own_counters*",
    "test_counting.py::test_a_session_in_which_nothing_is_counted_says_so_at_once",
    "test_budget_file.py::test_workers_say_the_same_once",
    "test_known_misses.py::test_workers_carry_the_word",
    "test_junit.py::test_workers_carry_them_and_the_controller_alone_writes_the_summary",
    "test_timeout.py::test_what_ci_reads_is_written_then_too",
    "test_qualify_session.py::test_without_a_device_it_is_one_unmeasured_line",
    "test_lies_counters.py::test_a_report_of_an_earlier_run_is_never_read",
    "test_lies_counters.py::test_counters_named_at_the_measurement_are_collected",
    "test_child.py::test_inputs_that_differ_are_seen_by_their_digests",
    "test_child.py::test_ids_that_differ_are_found_by_place_and_told_as_the_parents*",
    "test_child.py::test_every_call_starts_from_the_same_bits_and_one_is_left",
    "test_child.py::test_without_a_list_of_cases_all_that_use_the_fixture_run",
    "test_child.py::test_what_is_not_there_is_missing_and_nothing_takes_its_place",
    "test_sanitize.py::test_a_death_in_the_middle_costs_one_case_and_another_process",
    "test_lies_ended.py::test_own_limits_of_a_case_that_was_ended_are_accounted_for[[]killed]",
    "test_static_compile.py::test_a_child_that_dies_or_hangs_costs_its_own_task_only",
    "test_counting.py::test_a_counter_that_the_chip_lacks*strict*",
    "test_counting.py::test_a_counter_that_is_only_collected_fails_where_it_is_required",
    "test_counting.py::test_a_counter_that_does_not_exist_is_refused_before_anything_runs[[]workers1]",
    "test_counting.py::test_without_a_gpu_no_counter_is_there_either*mark*",
    "test_counting_faults.py::test_whoever_ends_the_session_leaves_no_process[[]alone-15]",
    "test_counting_faults.py::test_whoever_ends_the_session_leaves_no_process[[]xdist-*",
    "test_counting_faults.py::test_a_full_disk_costs_the_counters_alone[[]workers1]",
    "test_lies_counters.py::test_a_comparison_takes_no_counters_of_other_inputs*codes1]",
    "test_child.py::test_the_seed_of_pytest_randomly_is_carried",
    "test_draws.py::test_a_child_draws_what_its_parent_does",
    "test_seeding.py::test_a_child_draws_what_its_parent_does",
    "test_golden_session.py::test_workers_lose_nothing[[]more1]",
    "test_timeout.py::test_a_case_that_never_ends_fails_and_its_records_are_kept[[]loops in Python]",
    "test_timeout.py::test_a_case_that_never_ends_fails_and_its_records_are_kept[[]waits in C with the lock]",
    "test_timeout.py::test_a_case_that_never_ends_fails_and_its_records_are_kept[[]waits for the device]",
    "test_timeout.py::test_xdist_replaces_the_worker_and_goes_on[[]waits for the device]",
    "test_sanitize_session.py::test_every_tool_is_started_by_its_name[[]initcheck]",
    "test_sanitize_session.py::test_every_tool_is_started_by_its_name[[]synccheck]",
    "test_rules_compare.py::test_equal_versions_are_no_alarm_on_thirty_devices",
    "test_counting.py::test_work_that_the_chip_did_not_move*",
    "test_counting.py::test_a_counter_that_the_chip_lacks*require*",
    "test_counting.py::test_a_report_that_cannot_be_read_is_no_success",
    "test_counting.py::test_a_body_that_launches_nothing_has_no_counters",
    "test_counting.py::test_what_ncu_says_is_the_reason_of_every_case[[]Something*",
    "test_counting.py::test_the_report_lies_beside_the_page_and_old_ones_go",
    "test_counting_faults.py::test_where_the_process_that_collects_dies_the_cases_say_so",
    "test_counting_faults.py::test_whoever_ends_the_session_leaves_no_process[[]alone-9]",
    "test_lies_counters.py::test_of_many_kernels_each_may_have_left_its_writes_in_l2",
    "test_lies_counters.py::test_a_comparison_takes_no_stored_counters_of_code_that_nobody_can_tell",
    "test_lies_counters.py::test_tests_without_a_place_are_not_taken_for_each_other",
    "test_lies_counters.py::test_kernels_that_l2_was_asked_to_write_little_for_leave_little",
    "test_lies_counters.py::test_a_report_that_cannot_lie_beside_the_page_costs_no_counters",
    "test_child.py::test_what_fails_or_is_skipped_costs_the_others_nothing",
    "test_child.py::test_ids_that_differ_are_found_by_place_and_told_as_the_parents[[]addresses]",
    "test_child.py::test_what_a_child_starts_itself_is_no_child",
    "test_child.py::test_a_graph_counts_by_what_it_was_captured_with",
    "test_docs_identity.py::test_the_lines_of_a_call_that_is_wrong",
    "test_golden_session.py::test_workers_lose_nothing[[]more0]",
    "test_sanitize.py::test_a_case_that_hangs_costs_itself",
    "test_lies_ended.py::test_own_limits_of_a_case_that_was_ended_are_accounted_for[[]hung]",
    "test_timeout.py::test_a_process_that_the_signal_cannot_end_is_killed",
    "test_timeout.py::test_a_case_that_never_ends_fails_and_its_records_are_kept[[]spins in C with the lock]",
    "test_timeout.py::test_a_fixture_that_never_ends_is_its_cases_hang*",
    "test_timeout.py::test_a_record_that_cannot_be_written_then_does_not_save_the_process",
    "test_compression_offline.py::*",
)


def is_slow(nodeid: str) -> bool:
    """Say whether a test is left to `make test-all`.

    >>> is_slow("tests/test_compression_offline.py::test_x"), is_slow("tests/test_counting.py::test_counters_of_three_cases_take_one_start")
    (True, False)
    """
    name = nodeid.rpartition("/")[2] if "::" not in nodeid else nodeid[nodeid.rfind("/", 0, nodeid.find("::")) + 1 :]
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in SLOW)
