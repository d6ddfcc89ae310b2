#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments/analysis/page_parts.h"
#include "experiments/report/html.h"

namespace baleen {
namespace {

// More points make the page heavy and are drawn over each other.
constexpr size_t kPoints = 600;

/// What an axis shows. The few epochs far from the others, as first ones are, would squeeze those
/// together: they stand at the edge.
struct Range {
  double low = 0, high = 0;
  bool cut_low = false, cut_high = false;

  explicit Range(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const auto at = [&](double share) { return values[size_t(share * double(values.size() - 1))]; };
    const double most = at(0.95) - at(0.05);
    low = std::max(values.front(), at(0.05) - most / 2);
    high = std::min(values.back(), at(0.95) + most / 2);
    cut_low = low > values.front();
    cut_high = high < values.back();
  }
  double share(double value) const {
    return high > low ? (std::clamp(value, low, high) - low) / (high - low) : 0.5;
  }
  std::string lower() const { return html::score(low) + (cut_low ? " or less" : ""); }
  std::string upper() const { return html::score(high) + (cut_high ? " or more" : ""); }
};

/// Validation loss across and metric upwards, a point for each epoch of each chain.
std::string scatter(const Analysis& analysis) {
  constexpr double kWidth = 500, kHeight = 260, kLeft = 116, kTop = 10;
  std::vector<double> all_losses, all_metrics;
  for (const LossAgainstMetric& chain : analysis.learning) {
    all_losses.insert(all_losses.end(), chain.losses.begin(), chain.losses.end());
    all_metrics.insert(all_metrics.end(), chain.metrics.begin(), chain.metrics.end());
  }
  const size_t count = all_losses.size();
  if (count == 0) return {};
  const Range losses(std::move(all_losses)), metrics(std::move(all_metrics));
  const size_t step = (count + kPoints - 1) / kPoints;
  std::string points;
  size_t place = 0;
  for (const LossAgainstMetric& chain : analysis.learning) {
    for (size_t i = 0; i < chain.losses.size(); ++i) {
      if (place++ % step != 0) continue;
      points += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\"><title>{}: loss {:.4f}, metric "
          "{:.4f}</title></circle>",
          kLeft + losses.share(chain.losses[i]) * kWidth,
          kTop + (1 - metrics.share(chain.metrics[i])) * kHeight, html::escape(chain.chain),
          chain.losses[i], chain.metrics[i]);
    }
  }
  const auto text = [](double x, double y, const char* anchor, const std::string& words) {
    return fmt::format(
        "<text x=\"{:.0f}\" y=\"{:.0f}\" font-size=\"11\" text-anchor=\"{}\" "
        "fill=\"currentColor\">{}</text>",
        x, y, anchor, words);
  };
  return fmt::format(
      "<svg viewBox=\"0 0 640 300\" role=\"img\" aria-label=\"Metric over validation loss, epoch "
      "by "
      "epoch\" style=\"width:100%;max-width:44rem\"><rect x=\"{}\" y=\"{}\" width=\"{}\" "
      "height=\"{}\" fill=\"none\" stroke=\"currentColor\" stroke-opacity=\".35\"/><g "
      "fill=\"currentColor\" fill-opacity=\".55\">{}</g>{}{}{}{}</svg>\n",
      kLeft, kTop, kWidth, kHeight, points, text(kLeft, 286, "start", losses.lower()),
      text(kLeft + kWidth, 286, "end", "validation loss " + losses.upper()),
      text(kLeft - 6, kTop + kHeight, "end", metrics.lower()),
      text(kLeft - 6, kTop + 9, "end", metrics.upper()));
}

}  // namespace

std::string simulation_body(const Analysis& analysis) {
  const LeaderboardSimulation& simulation = analysis.simulation;
  if (simulation.gap_std.size() != analysis.models.size()) return {};
  const auto percent = [](double share) {
    return fmt::format("<td class=\"num\">{:.0f} %</td>", 100 * share);
  };
  std::string rows;
  for (size_t m = 0; m < analysis.models.size(); ++m) {
    rows +=
        fmt::format("<tr><th scope=\"row\">{}</th>{}{}{}{}{}</tr>\n",
                    html::escape(analysis.models[m].name), number_cell(simulation.public_std[m]),
                    number_cell(simulation.gap_std[m]), number_cell(simulation.largest_gap[m]),
                    percent(simulation.public_wins[m]), percent(simulation.private_wins[m]));
  }
  return scroll("Simulated leaderboards",
                "<table class=\"sortable\">" +
                    head({"Model", "Public score, standard deviation",
                          "Public − private, standard deviation", "At most", "Leads in public",
                          "Leads in private"}) +
                    "<tbody>\n" + rows + "</tbody></table>") +
         fmt::format("<p>The public leader leads in private, too, {:.0f} % of the time.</p>\n",
                     100 * simulation.leader_stays);
}

std::string learning_body(const Analysis& analysis) {
  if (analysis.learning.empty()) return {};
  std::string rows;
  for (const LossAgainstMetric& chain : analysis.learning) {
    rows += fmt::format(
        "<tr><th scope=\"row\">{}</th><td class=\"num\">{}</td><td class=\"num\">{}</td>{}<td "
        "class=\"num\">{}</td>{}<td class=\"num\">{}</td></tr>\n",
        html::escape(chain.chain), chain.epochs, chain.best_epoch_by_loss,
        number_cell(chain.metric_at_best_loss), chain.best_epoch_by_metric,
        number_cell(chain.best_metric), html::signed_score(chain.correlation));
  }
  return scatter(analysis) +
         scroll("Loss against metric", "<table class=\"sortable\">" +
                                           head({"Chain", "Epochs", "Least loss at", "Metric there",
                                                 "Best metric at", "Best metric", "Correlation"}) +
                                           "<tbody>\n" + rows + "</tbody></table>");
}

}  // namespace baleen
