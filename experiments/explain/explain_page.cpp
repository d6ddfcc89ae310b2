#include "experiments/explain/explain_page.h"

#include <fmt/format.h>

#include "experiments/report/document.h"
#include "experiments/report/html.h"
#include "experiments/report_samples.h"

namespace baleen {
namespace {

using html::escape;

constexpr int64_t kPicturePx = 192, kReportPicturePx = 144;
constexpr const char* kLegend =
    "Red places move the label's score most, blue ones least; each map has a scale of its own.";

/// Methods as headings.
std::string title_of(const std::string& method) {
  if (method == "gradcam") return "Grad-CAM";
  if (method == "saliency") return "Saliency";
  if (method == "smoothgrad") return "SmoothGrad";
  if (method == "guided") return "Guided backpropagation";
  return method;
}

/// The image and its overlays in a row.
std::string figures(const ExplainPage& page, const ExplainRow& row, int64_t size_px) {
  std::string out;
  for (size_t m = 0; m <= page.methods.size(); ++m) {
    const std::string title = m == 0 ? "Image" : title_of(page.methods[m - 1]);
    out += fmt::format("<figure>{}<figcaption>{}</figcaption></figure>\n",
                       html::picture(embedded_picture(row.pictures[m].view(), size_px),
                                     fmt::format("{} of {}, {}", title, row.image, row.label)),
                       escape(title));
  }
  return "<div class=\"explained\">\n" + out + "</div>\n";
}

std::string caption(const ExplainRow& row) {
  return fmt::format("p = {:.3f}{}", row.probability,
                     row.truth.empty() ? "" : " · true: " + escape(row.truth));
}

}  // namespace

std::string explained_section(const std::vector<ExplainPage>& pages) {
  std::string body;
  for (const ExplainPage& page : pages) {
    if (page.rows.empty() && page.note.empty()) continue;
    body +=
        fmt::format("<h3>{} <small>{}</small></h3>\n", escape(page.network), escape(page.source));
    if (!page.note.empty()) body += "<p class=\"note\">" + escape(page.note) + "</p>\n";
    for (const ExplainRow& row : page.rows)
      body += fmt::format("<p class=\"explained-title\">{} · {} <small>{}</small></p>\n",
                          escape(row.label), escape(row.image), caption(row)) +
              figures(page, row, kReportPicturePx);
  }
  if (body.empty()) return {};
  return html::section("explanations", "What the networks look at",
                       std::string("The held-out images that each network gets most wrong, and the "
                                   "label it held likeliest. ") +
                           kLegend,
                       body);
}

std::string render_explain_page(const ExplainPage& page) {
  HtmlDocument document;
  document.title = fmt::format("What {} looks at", page.network);
  document.header = fmt::format("<p>Weights: {}. {}</p>\n", escape(page.source), kLegend);
  document.navigation = false;
  for (size_t r = 0; r < page.rows.size(); ++r) {
    const ExplainRow& row = page.rows[r];
    const std::string id = fmt::format("row{}", r);
    const std::string title = fmt::format("{} · {}", row.label, row.image);
    document.sections.push_back(
        {id, title,
         html::section(id, escape(title), caption(row), figures(page, row, kPicturePx))});
  }
  return render_document(document);
}

}  // namespace baleen
