"""The cases of the Prometheus project's remote-write sender compliance suite, by name, and why some are not ours to keep."""

CASES = {
    "TestProtocolCompliance": "content_type_protobuf content_type_with_proto_param content_encoding_snappy version_header_present version_header_value "
                              "user_agent_present snappy_block_format protobuf_parseable",
    "TestHTTPMethod": "",
    "TestSymbolTable": "empty_string_at_index_zero string_deduplication labels_refs_valid_indices labels_refs_even_length",
    "TestSymbolTableEfficiency": "",
    "TestLabelValidation": "label_lexicographic_ordering metric_name_label_present metric_name_format_valid label_name_format_valid "
                           "no_duplicate_label_names label_names_not_empty label_values_may_be_empty reserved_label_prefix unicode_in_label_values "
                           "special_chars_in_label_values very_long_label_names very_long_label_values many_labels_per_series",
    "TestSampleEncoding": "float_value_encoding integer_value_encoding zero_value_encoding negative_value_encoding positive_infinity_encoding "
                          "negative_infinity_encoding nan_encoding timestamp_milliseconds_format timestamp_recent multiple_samples_same_series "
                          "large_float_values small_float_values scientific_notation precision_preservation job_instance_labels_present",
    "TestSampleOrdering": "",
    "TestTimestampEncoding": "timestamp_int64_milliseconds timestamp_ordering_within_series start_timestamp_for_counters start_timestamp_for_histograms "
                             "start_timestamp_zero_handling timestamp_precision timestamp_future_values start_timestamp_before_sample_timestamp",
    "TestHistogramEncoding": "native_histogram_structure histogram_count_present histogram_sum_present histogram_buckets_ordered "
                             "histogram_positive_buckets histogram_negative_buckets histogram_zero_bucket histogram_schema histogram_timestamp "
                             "histogram_no_mixed_with_samples histogram_empty_buckets histogram_large_counts",
    "TestExemplarEncoding": "exemplar_with_trace_id exemplar_with_span_id exemplar_value_valid exemplar_timestamp_valid exemplar_labels_valid_refs "
                            "exemplar_labels_even_length exemplar_custom_labels exemplar_on_histogram multiple_exemplars_per_series",
    "TestMetadataEncoding": "metadata_type_counter metadata_type_gauge metadata_type_histogram metadata_type_summary metadata_help_text metadata_unit "
                            "metadata_help_with_newlines metadata_help_with_special_chars metadata_help_refs_valid metadata_consistent_across_series "
                            "metadata_empty_help_allowed",
    "TestBatchingBehavior": "multiple_series_per_request batch_size_reasonable handles_varying_cardinality efficient_symbol_reuse metadata_batching",
    "TestConcurrentRequests": "",
    "TestCombinedFeatures": "samples_with_metadata samples_with_exemplars histogram_with_metadata_and_exemplars multiple_metric_types "
                            "high_cardinality_labels complete_metric_family mixed_labels_and_metadata real_world_scenario",
    "TestEdgeCases": "empty_scrape huge_label_values unicode_in_labels many_timeseries high_cardinality very_long_metric_name "
                     "special_float_combinations zero_timestamp future_timestamp metric_name_with_colons stale_marker "
                     "mixed_sample_and_histogram_families",
    "TestRobustnessUnderLoad": "",
    "TestErrorHandling": "handle_connection_refused handle_timeout handle_partial_write handle_malformed_response handle_empty_response "
                         "sender_continues_after_errors handle_invalid_status_code handle_large_error_response",
    "TestNetworkErrors": "dns_resolution_failure invalid_url_scheme",
    "TestRetryBehavior": "no_retry_on_400 no_retry_on_401 no_retry_on_404 may_retry_on_429 retry_on_500 retry_on_503 retry_on_502 retry_on_504 "
                         "no_retry_on_413",
    "TestBackoffBehavior": "exponential_backoff_on_retries backoff_required backoff_max_delay backoff_with_jitter",
    "TestResponseProcessing": "ignore_response_body_on_success process_written_count_headers handle_partial_write_response "
                              "handle_missing_written_headers log_error_messages_verbatim handle_large_error_body handle_204_no_content handle_200_ok",
    "TestContentTypeNegotiation": "",
    "TestFallbackBehavior": "fallback_on_415_unsupported_media_type retry_with_different_version fallback_header_changes "
                            "accept_success_after_fallback persistent_fallback_choice",
    "TestNoFallbackOn2xx": "",
    "TestRemoteWrite1Compatibility": "rw1_version_header rw1_content_type rw1_samples_encoding rw1_labels_encoding rw1_no_native_histograms "
                                     "rw1_no_start_timestamp rw1_metadata_handling rw1_symbol_table_not_used",
    "TestRemoteWrite1Configuration": "",
}
NAMES = [f"{test}/{case}" for test, cases in CASES.items() for case in cases.split()] + [test for test, cases in CASES.items() if not cases]


def of(test, *words):
    return [name for name in NAMES if name.startswith(test + "/") and all(w in name for w in words)]


# What the suite does not test, and a relay must keep.
OURS = ["Missing/durability_over_kill", "Missing/data_waits_over_restart", "Missing/retry_after_is_kept", "Missing/split_on_413",
        "Missing/order_over_several_requests", "Missing/label_limits", "Missing/retry_attempt_header"]

LEFT_OUT = {
    "CloudWatch has no histograms": of("TestHistogramEncoding") + ["TestTimestampEncoding/start_timestamp_for_histograms", "TestMetadataEncoding/metadata_type_histogram",
                                                                   "TestCombinedFeatures/histogram_with_metadata_and_exemplars"],
    "CloudWatch has no exemplars": of("TestExemplarEncoding") + ["TestCombinedFeatures/samples_with_exemplars"],
    "every statistic of CloudWatch is a gauge": ["TestMetadataEncoding/metadata_type_counter", "TestMetadataEncoding/metadata_type_summary",
                                                 "TestTimestampEncoding/start_timestamp_for_counters", "TestCombinedFeatures/multiple_metric_types"],
    "nothing is scraped, so there is no instance": ["TestSampleEncoding/job_instance_labels_present"],
    "there is always a help text": ["TestMetadataEncoding/metadata_empty_help_allowed"],
}
