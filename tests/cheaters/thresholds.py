"""What the audit must reach on the corpus. The only place where these numbers stand."""
FOUND_AT_LEAST = 0.99          # of the cheats at rated strengths: a finding of a fitting kind, at the right place
FALSE_ALARMS_AT_MOST = 0.01    # of the honest models: a finding that is not true of them
CONFIDENCE_AT_LEAST = 0.5      # a finding below it counts neither as found nor as a false alarm
EFFECTIVE_ERROR_AT_MOST = 0.05  # |effective - truth| / stored, in 95 of 100 cheats of the content that are found
STORED_MUST_AGREE = 1.0        # of all models whose packaging is whole: stored is exact, to the last scalar
