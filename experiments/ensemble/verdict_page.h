#pragma once

#include <string>

#include "experiments/ensemble/contestants.h"
#include "experiments/report/report_data.h"

namespace baleen {

/// The second stage as a part of a page: in words what it is worth, and all contestants in a table.
/// Every text is escaped.
PageSection verdict_section(const StackVerdict& verdict, const LoadedStack& loaded,
                            const StackJob& job);

/// The same as a page of its own, with what was found about the inputs.
std::string render_verdict(const StackVerdict& verdict, const LoadedStack& loaded,
                           const StackJob& job);

}  // namespace baleen
