#include "core/weights/header_text.h"

#include <fmt/format.h>

#include "core/weights/safetensors_header.h"

namespace baleen {
namespace {

void append_utf8(std::string& out, uint32_t code) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6));
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3F));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

}  // namespace

void HeaderText::refuse(const std::string& what) const {
  refuse_safetensors(file_, fmt::format("the header is not JSON at its byte {}: {}", at_, what));
}

void HeaderText::refuse_number(const std::string& what) const {
  refuse_safetensors(file_, fmt::format("{} is not a whole number of at least 0 and below 2^64 "
                                        "(byte {} of the header)",
                                        what, at_));
}

void HeaderText::skip_blanks() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
    ++at_;
}

bool HeaderText::next_is(char character) {
  skip_blanks();
  return at_ < text_.size() && text_[at_] == character;
}

void HeaderText::expect(char character) {
  if (!next_is(character)) refuse(fmt::format("'{}' expected", character));
  ++at_;
}

void HeaderText::end() {
  skip_blanks();
  if (at_ < text_.size()) refuse("text after the end of the object");
}

char HeaderText::take() {
  if (at_ >= text_.size()) refuse("a string without end");
  return text_[at_++];
}

bool HeaderText::digits(uint64_t& value) {
  skip_blanks();
  const size_t start = at_;
  for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
    const auto digit = static_cast<uint64_t>(text_[at_] - '0');
    if (value > (std::numeric_limits<uint64_t>::max() - digit) / 10) return false;
    value = value * 10 + digit;
  }
  if (at_ == start || (text_[start] == '0' && at_ > start + 1)) return false;
  const char next = at_ < text_.size() ? text_[at_] : '\0';
  return next != '.' && next != 'e' && next != 'E';
}

uint32_t HeaderText::hexadecimal() {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = take();
    uint32_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint32_t>(c - 'a' + 10);
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<uint32_t>(c - 'A' + 10);
    } else {
      refuse("\\u without four hexadecimal digits");
    }
    value = value * 16 + digit;
  }
  return value;
}

/// After "\u": one code point, of two escapes where it lies beyond 16 bits (UTF-16 surrogates).
uint32_t HeaderText::escaped_code_point() {
  const uint32_t high = hexadecimal();
  if (high >= 0xDC00 && high <= 0xDFFF) refuse("half a surrogate pair");
  if (high < 0xD800 || high > 0xDBFF) return high;
  if (take() != '\\' || take() != 'u') refuse("half a surrogate pair");
  const uint32_t low = hexadecimal();
  if (low < 0xDC00 || low > 0xDFFF) refuse("half a surrogate pair");
  return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

/// One character of two to four bytes, as RFC 3629 has them: shortest form, no surrogates.
void HeaderText::utf8_character(std::string* out) {
  const size_t start = at_;
  const auto lead = static_cast<unsigned char>(take());
  const size_t more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  if (lead < 0xC2 || lead > 0xF4) refuse("not UTF-8");
  for (size_t i = 0; i < more; ++i) {
    const auto byte = static_cast<unsigned char>(take());
    unsigned char least = 0x80, most = 0xBF;
    if (i == 0 && lead == 0xE0) least = 0xA0;
    if (i == 0 && lead == 0xED) most = 0x9F;
    if (i == 0 && lead == 0xF0) least = 0x90;
    if (i == 0 && lead == 0xF4) most = 0x8F;
    if (byte < least || byte > most) refuse("not UTF-8");
  }
  if (out) out->append(text_.substr(start, at_ - start));
}

void HeaderText::string(std::string* out, size_t longest) {
  if (!next_is('"')) refuse("a string expected");
  ++at_;
  const size_t start = at_;
  if (out) {
    // The exact room: a buffer that grows by doubling would take more memory than the file has.
    size_t close = at_;
    while (close < text_.size() && text_[close] != '"') close += text_[close] == '\\' ? 2 : 1;
    if (close >= text_.size()) refuse("a string without end");
    if (close - start > longest) refuse(fmt::format("a name of {} bytes", close - start));
    out->clear();
    if (out->capacity() < close - start) out->reserve(close - start);
  }
  for (;;) {
    if (at_ >= text_.size()) refuse("a string without end");
    const auto byte = static_cast<unsigned char>(text_[at_]);
    if (byte >= 0x80) {
      utf8_character(out);
      continue;
    }
    ++at_;
    if (byte == '"') return;
    if (byte < 0x20) refuse("a control character in a string");
    if (byte != '\\') {
      if (out) out->push_back(static_cast<char>(byte));
      continue;
    }
    constexpr std::string_view kEscapes = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    const char escape = take();
    if (escape == 'u') {
      const uint32_t code = escaped_code_point();
      if (out) append_utf8(*out, code);
    } else if (const size_t found = kEscapes.find(escape); found != std::string_view::npos) {
      if (out) out->push_back(kMeanings[found]);
    } else {
      refuse("an unknown escape in a string");
    }
  }
}

}  // namespace baleen
