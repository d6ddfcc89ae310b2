#include "experiments/gallery/match_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "experiments/report/document.h"
#include "experiments/report/html.h"
#include "experiments/report_samples.h"

namespace baleen {
namespace {

// Beside those that all pages share.
constexpr const char* kStyles = R"(
.matches { list-style: none; margin: 0; padding: 0; }
.query { display: grid; grid-template-columns: 190px 1fr; gap: 1.1rem; background: var(--surface);
  border: 1px solid var(--line); border-radius: 12px; padding: 1rem; margin: 1rem 0; }
.answers { display: grid; grid-template-columns: repeat(auto-fill, minmax(138px, 1fr)); gap: .7rem; }
.query figure { margin: 0; min-width: 0; }
.frame { aspect-ratio: 1; width: 100%; border-radius: 8px; background: var(--raised); display: flex;
  align-items: center; justify-content: center; overflow: hidden; color: var(--soft); }
.frame img { width: 100%; height: 100%; object-fit: contain; }
.query figcaption { font-size: .86rem; margin-top: .35rem; overflow-wrap: anywhere; line-height: 1.35; }
.query figcaption small { display: block; font-variant-numeric: tabular-nums; }
.right { outline: 3px solid var(--good); border-radius: 10px; outline-offset: 3px; }
.right figcaption b { color: var(--good); }
@media (max-width: 640px) { .query { grid-template-columns: 1fr; } .query > figure { max-width: 220px; } }
@media print { .query { break-inside: avoid; } }
)";

std::string framed(const std::string& jpeg, const std::string& otherwise,
                   const std::string& description) {
  return "<div class=\"frame\">" +
         (jpeg.empty() ? html::escape(otherwise)
                       : html::picture("image/jpeg;base64," + base64(jpeg), description)) +
         "</div>";
}

/// A file's name that is broken behind its separators, where it must be.
std::string breakable(const std::string& id) {
  std::string text;
  for (const char character : html::escape(id)) {
    text += character;
    if (character == '/' || character == '_' || character == '-') text += "<wbr>";
  }
  return text;
}

/// How far the first answer is ahead of the second: small where the reader should look.
double certainty(const std::vector<MatchAnswer>& answers) {
  std::vector<double> scores;
  for (const MatchAnswer& answer : answers)
    if (!std::isnan(answer.score)) scores.push_back(answer.score);
  if (scores.size() < 2) return std::numeric_limits<double>::infinity();
  return scores[0] - scores[1];
}

std::string answer_figure(const MatchResult& result, const MatchPageOptions& options,
                          const MatchAnswer& answer, int64_t place, const std::string& right_name) {
  const bool right = !right_name.empty() && answer.name == right_name;
  std::string jpeg, caption;
  if (answer.image >= 0) {
    const std::string& id = result.gallery_ids[static_cast<size_t>(answer.image)];
    if (options.gallery_image) jpeg = options.gallery_image(id);
    caption = breakable(id);
  }
  std::string score =
      std::isnan(answer.score) ? "not in the gallery" : fmt::format("score {:.4f}", answer.score);
  if (answer.points >= 0) score += fmt::format(", {} points match", answer.points);
  return fmt::format(
      "<figure{}>{}<figcaption><b>{}. {}</b>{}<small>{}</small><small>{}</small></figcaption>"
      "</figure>\n",
      right ? " class=\"right\"" : "",
      framed(jpeg, answer.image < 0 ? "?" : "no image", answer.name), place,
      html::escape(answer.name), right ? " <span class=\"badge good\">right</span>" : "", caption,
      score);
}

std::string lead(const MatchResult& result, size_t shown) {
  std::string text =
      fmt::format("<p>{} queries, {} gallery images.", html::count(std::ssize(result.query_ids)),
                  html::count(std::ssize(result.gallery_ids)));
  if (shown < result.query_ids.size()) {
    text += fmt::format(
        " The {} with the smallest lead of the first answer are shown, the least "
        "certain first.",
        html::count(static_cast<int64_t>(shown)));
  }
  text += "</p>\n";
  if (result.mean_reciprocal_place) {
    text += fmt::format("<p>Truth is known: mean reciprocal place {}, first answer right {}.</p>\n",
                        html::score(result.mean_reciprocal_place), html::score(result.first_right));
  }
  if (std::isfinite(result.threshold)) {
    text += fmt::format("<p>Below a score of {:.4f} a query counts as unknown.", result.threshold);
    if (result.validation) {
      text += fmt::format(
          " On the gallery alone, a part of it asking and some individuals being "
          "left out, the answers are worth {}.",
          html::score(result.validation->score));
    }
    text += "</p>\n";
  }
  if (result.num_own > 0) {
    text += fmt::format(
        "<p>{} queries are gallery images themselves: each is compared with all "
        "others.</p>\n",
        html::count(result.num_own));
  }
  return text;
}

}  // namespace

std::string match_page(const MatchResult& result, const MatchPageOptions& options) {
  std::vector<size_t> order(result.query_ids.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (std::ssize(order) > options.max_queries) {
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return certainty(result.answers[a]) < certainty(result.answers[b]);
    });
    order.resize(static_cast<size_t>(options.max_queries));
  }
  std::string list;
  for (const size_t q : order) {
    const std::string& id = result.query_ids[q];
    const auto truth = options.truth.find(id);
    const std::string* name = truth == options.truth.end() ? nullptr : &truth->second;
    list += fmt::format(
        "<li class=\"query\">\n<figure>{}<figcaption><b>{}</b>{}</figcaption>"
        "</figure>\n<div class=\"answers\">\n",
        framed(options.query_image ? options.query_image(id) : std::string(), "no image", id),
        breakable(id), name ? fmt::format("<small>is {}</small>", html::escape(*name)) : "");
    int64_t place = 0;
    for (const MatchAnswer& answer : result.answers[q])
      list += answer_figure(result, options, answer, ++place,
                            q < result.right_names.size() ? result.right_names[q] : "");
    list += "</div>\n</li>\n";
  }
  return render_document(
      {.title = options.title,
       .header = lead(result, order.size()),
       .sections = {{"matches", "Matches", "<ol class=\"matches\">\n" + list + "</ol>\n"}},
       .navigation = false,
       .styles = kStyles});
}

}  // namespace baleen
