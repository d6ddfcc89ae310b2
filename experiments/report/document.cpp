#include "experiments/report/document.h"

#include <fmt/format.h>

#include "experiments/report/assets.h"
#include "experiments/report/html.h"

namespace baleen {

using html::escape;

std::string render_document(const HtmlDocument& document) {
  std::string navigation, body;
  for (const PageSection& section : document.sections) {
    if (document.navigation) {
      navigation +=
          fmt::format("<a href=\"#{}\">{}</a>\n", escape(section.id), escape(section.title));
    }
    body += section.html;
  }
  if (!navigation.empty())
    navigation = "<nav aria-label=\"Sections\"><div>\n" + navigation + "</div></nav>\n";
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
      "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
      "<meta name=\"generator\" content=\"Baleen{}{}\">\n<title>{} · Baleen</title>\n<style>\n",
      document.generator.empty() ? "" : " ", escape(document.generator), escape(document.title));
  page += report_css();
  page += document.styles;
  page += fmt::format(
      "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the results</a>\n"
      "<header>\n<div class=\"title\"><h1>{}</h1>{}</div>\n{}</header>\n{}<main id=\"main\" "
      "tabindex=\"-1\">\n",
      escape(document.title), document.badge, document.header, navigation);
  page += body;
  page += "</main>\n";
  if (!document.footer.empty()) page += "<footer><p>" + document.footer + "</p></footer>\n";
  if (!document.curves.empty()) {
    page += "<script type=\"application/json\" id=\"curve-data\">" +
            html::embed_json(document.curves) + "</script>\n";
    if (!chart_js().empty()) {
      page += "<script>\n";
      page += chart_js();
      page += "\n</script>\n";
    }
  }
  page += "<script>\n";
  page += report_js();
  page += "</script>\n</body>\n</html>\n";
  return page;
}

}  // namespace baleen
