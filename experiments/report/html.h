#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace baleen::html {

/// Text made safe for element content and quoted attributes; what is not UTF-8 becomes U+FFFD.
std::string escape(std::string_view text);

/// JSON made safe inside a script element: "<" and "&" as escapes, so that no tag or comment can
/// end it.
std::string embed_json(std::string_view json);

/// "0.9123"; "–" where there is none or it is not finite.
std::string score(std::optional<double> value);
/// "+0.0042" or "−0.0042" with a true minus sign.
std::string signed_score(double value);
/// A difference of scores in an element whose class colours it: "gain", "loss", or "same" where
/// signed_score() shows none.
std::string difference(double value, std::string_view element = "span");
/// "1 h 04 min", "12 min 30 s", "8.2 s".
std::string duration(double seconds);
/// "12,345".
std::string count(int64_t value);

/// An image element that is loaded when it comes into view; empty where there is no picture.
/// @param picture PNG or JPEG as "image/png;base64,…"; what is anything else is left out
/// @param description for those who don't see it, plain text
std::string picture(std::string_view picture, std::string_view description);

/// A piece of the page: `<section class="card" id=… >` with its heading around `body`.
std::string section(std::string_view id, std::string_view title, std::string_view lead,
                    std::string_view body);

/// Turned headings over the columns of a matrix; what is long is shortened, with the whole name to
/// be pointed at.
std::string slanted_heads(const std::vector<std::string>& names);

/// A cell of a matrix: the text over a tint whose strength is |value|/scale, blue for positive, red
/// for negative.
std::string tinted_cell(double value, double scale, std::string_view text, std::string_view hover);

}  // namespace baleen::html
