#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace baleen {

/// A cursor over the JSON text of a safetensors header: only what that format needs of JSON.
///
/// Every function skips the blanks before what it reads, and throws the Error kData of a malformed
/// file, naming the byte of the header, where the text is something else.
class HeaderText {
 public:
  /// Both must outlive this object.
  HeaderText(const std::string& file, std::string_view text) : file_(file), text_(text) {}

  /// Whether this character comes next; nothing but blanks is consumed.
  bool next_is(char character);
  void expect(char character);
  /// Nothing but blanks may follow.
  void end();

  /// '{' members '}': `member` reads one key with its value.
  template <class Member>
  void object(Member&& member) {
    sequence('{', '}', member);
  }
  /// '[' items ']': `item` reads one value.
  template <class Item>
  void array(Item&& item) {
    sequence('[', ']', item);
  }

  /// A string, unescaped.
  /// @param out null: the string is checked only
  /// @param longest most bytes that the text between the quotes may have
  void string(std::string* out, size_t longest = std::numeric_limits<size_t>::max());

  /// A number without sign, fraction and exponent, below 2^64.
  /// @param what returns what the number is, for the message
  template <class What>
  uint64_t whole_number(What&& what) {
    uint64_t value = 0;
    if (!digits(value)) refuse_number(what());
    return value;
  }

 private:
  template <class Item>
  void sequence(char open, char close, Item&& item) {
    expect(open);
    if (next_is(close)) {
      ++at_;
      return;
    }
    for (;;) {
      item();
      if (next_is(close)) {
        ++at_;
        return;
      }
      expect(',');
    }
  }

  [[noreturn]] void refuse(const std::string& what) const;
  [[noreturn]] void refuse_number(const std::string& what) const;
  bool digits(uint64_t& value);
  void skip_blanks();
  char take();
  uint32_t hexadecimal();
  uint32_t escaped_code_point();
  void utf8_character(std::string* out);

  const std::string& file_;
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace baleen
