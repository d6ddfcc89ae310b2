#include "experiments/explain/explain_page.h"

#include <fmt/format.h>

#include "experiments/report/assets.h"
#include "experiments/report/html.h"
#include "experiments/report_samples.h"

namespace baleen {
namespace {

using html::escape;

constexpr int64_t kPicturePx = 192;

/// Methods as headings.
std::string title_of(const std::string& method) {
  if (method == "gradcam") return "Grad-CAM";
  if (method == "saliency") return "Saliency";
  if (method == "smoothgrad") return "SmoothGrad";
  if (method == "guided") return "Guided backpropagation";
  return method;
}

std::string figure(const Image& picture, const std::string& title, const std::string& what) {
  return fmt::format(
      "<figure><img loading=\"lazy\" alt=\"{} of {}\" src=\"data:image/jpeg;base64,{}\">"
      "<figcaption>{}</figcaption></figure>\n",
      escape(title), escape(what), base64(thumbnail_jpeg(picture.view(), kPicturePx, 85)),
      escape(title));
}

// Beside the report's own styles.
constexpr const char* kStyles =
    ".explained{display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));gap:.75rem}"
    ".explained figure{margin:0}.explained img{width:100%;height:auto;display:block;"
    "border-radius:4px}.explained figcaption{font-size:.85rem;padding-top:.25rem}"
    "h2{overflow-wrap:anywhere}";

}  // namespace

std::string render_explain_page(const ExplainPage& page) {
  std::string body;
  for (size_t r = 0; r < page.rows.size(); ++r) {
    const ExplainRow& row = page.rows[r];
    const std::string what = row.image + ", " + row.label;
    std::string figures = figure(row.pictures.front(), "Image", what);
    for (size_t m = 0; m < page.methods.size(); ++m)
      figures += figure(row.pictures[m + 1], title_of(page.methods[m]), what);
    body +=
        html::section(fmt::format("row{}", r), escape(fmt::format("{} · {}", row.label, row.image)),
                      fmt::format("p = {:.3f}{}", row.probability,
                                  row.truth.empty() ? "" : " · true: " + escape(row.truth)),
                      "<div class=\"explained\">\n" + figures + "</div>\n");
  }
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>What {} looks at</title>\n"
      "<style>{}{}</style>\n</head>\n<body>\n<main>\n<h1>What {} looks at</h1>\n"
      "<p class=\"lead\">Weights: {}. Red places move the label's score most, blue ones least; "
      "each "
      "map has a scale of its own.</p>\n{}</main>\n</body>\n</html>\n",
      escape(page.network), report_css(), kStyles, escape(page.network), escape(page.source), body);
}

}  // namespace baleen
