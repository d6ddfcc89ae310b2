#pragma once

#include "core/base/error.h"
#include "core/base/launch_place.h"

namespace baleen {

/// Waits for some seconds, so that a rank that knows better speaks first and the launcher ends this
/// one.
void hold_back();

/// Waits long enough for the rank that failed to record its error and to end the job with that
/// error's exit code.
void wait_for_peer();

/// Tells the user why this rank ends: one block on stderr and in the rank's log.
///
/// A mistake in the command line or the recipe is the same on every rank, so that ranks other than
/// 0 hold back for a moment: rank 0's message comes first and the launcher then ends the others
/// before they repeat it. If rank 0 saw no mistake (a file that one host can't read), theirs is
/// heard.
void report_error(const Error& error, const LaunchPlace& place);

}  // namespace baleen
