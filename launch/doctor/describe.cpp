#include <fmt/format.h>

#include "launch/doctor/check.h"

namespace baleen {

std::string describe(const std::vector<Check>& checks) {
  std::string text;
  std::string to_mend;
  for (const Check& check : checks) {
    const char* mark = check.verdict == Check::Verdict::kGood   ? "ok  "
                       : check.verdict == Check::Verdict::kNote ? "note"
                                                                : "BAD ";
    std::string line = fmt::format("{}  {:<14}{}\n", mark, check.name, check.finding);
    if (!check.remedy.empty()) line += fmt::format("{:20}{}\n", "", check.remedy);
    (check.verdict == Check::Verdict::kBad ? to_mend : text) += line;
  }
  return text + (to_mend.empty() ? "Nothing has to be mended.\n" : "To be mended:\n" + to_mend);
}

}  // namespace baleen
