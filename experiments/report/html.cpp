#include "experiments/report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace baleen::html {
namespace {

/// Bytes of the well-formed UTF-8 sequence at the start of `text`; 0 if there is none.
size_t sequence_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 && first < 0xf5 ? 4
                        : first >= 0xe0               ? 3
                        : first >= 0xc2               ? 2
                                                      : 0;
  if (length == 0 || first >= 0xf5 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    const char c = text[0];
    if (length == 0) {
      out += "\xef\xbf\xbd";
    } else if (length > 1) {
      out += text.substr(0, length);
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (c == '\'') {
      out += "&#39;";
    } else if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') {
      out += "\xef\xbf\xbd";  // no control characters: escape sequences of a log, NUL
    } else {
      out += c;
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

std::string embed_json(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (const char c : json) {
    if (c == '<') {
      out += "\\u003c";
    } else if (c == '>') {
      out += "\\u003e";
    } else if (c == '&') {
      out += "\\u0026";
    } else {
      out += c;
    }
  }
  return out;
}

std::string score(std::optional<double> value) {
  if (!value || !std::isfinite(*value)) return "–";
  return fmt::format("{:.4f}", *value);
}

std::string signed_score(double value) {
  if (!std::isfinite(value)) return "–";
  return fmt::format("{}{:.4f}", value < 0 ? "−" : "+", std::abs(value));
}

std::string difference(double value, std::string_view element) {
  const bool shown_as_zero = !(std::abs(value) >= 0.5e-4);
  return fmt::format("<{0} class=\"{1}\">{2}</{0}>", element,
                     shown_as_zero ? "same"
                     : value < 0   ? "loss"
                                   : "gain",
                     signed_score(value));
}

std::string duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "–";
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  const int64_t minutes = (whole + 30) / 60;
  return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
}

std::string count(int64_t value) {
  std::string digits = fmt::format("{}", value);
  const size_t first = value < 0 ? 1 : 0;
  for (size_t i = digits.size(); i > first + 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string picture(std::string_view picture, std::string_view description) {
  const std::string_view png = "image/png;base64,", jpeg = "image/jpeg;base64,";
  const std::string_view type = picture.starts_with(png) ? png : jpeg;
  if (!picture.starts_with(type)) return {};
  const auto of_base64 = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/' || c == '=';
  };
  // Anything else would end the attribute.
  if (!std::all_of(picture.begin() + std::ssize(type), picture.end(), of_base64)) return {};
  return fmt::format("<img loading=\"lazy\" alt=\"{}\" src=\"data:{}\">", escape(description),
                     picture);
}

std::string section(std::string_view id, std::string_view title, std::string_view lead,
                    std::string_view body) {
  return fmt::format(
      "<section class=\"card\" id=\"{0}\" aria-labelledby=\"{0}-title\">\n<h2 "
      "id=\"{0}-title\">{1}</h2>\n{2}{3}"
      "</section>\n",
      id, title, lead.empty() ? std::string() : fmt::format("<p class=\"lead\">{}</p>\n", lead),
      body);
}

std::string slanted_heads(const std::vector<std::string>& names) {
  constexpr size_t kMostLetters = 28;
  const auto is_start = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; };
  size_t longest = 1;
  std::vector<std::string> shown;
  for (const std::string& name : names) {
    size_t letters = 0, end = 0;
    for (; end < name.size(); ++end) {
      if (is_start(name[end]) && ++letters > kMostLetters) break;
    }
    shown.push_back(end < name.size() ? name.substr(0, end) + "…" : name);
    longest = std::max(longest, letters);
  }
  std::string cells;
  for (size_t i = 0; i < names.size(); ++i) {
    cells += fmt::format(
        "<th scope=\"col\" class=\"slant\" style=\"--n:{}\" title=\"{}\"><span>{}</span></th>",
        longest, escape(names[i]), escape(shown[i]));
  }
  return cells;
}

std::string tinted_cell(double value, double scale, std::string_view text, std::string_view hover) {
  const double strength =
      scale > 0 && std::isfinite(value) ? std::min(1.0, std::abs(value) / scale) : 0;
  return fmt::format("<td class=\"num tint {}\" style=\"--a:{:.3f}\" title=\"{}\">{}</td>",
                     value < 0 ? "neg" : "pos", strength, escape(hover), escape(text));
}

}  // namespace baleen::html
