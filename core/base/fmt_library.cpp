// The functions of {fmt} that are no templates, compiled once. LibTorch brings fmt's headers
// without its library, and FMT_HEADER_ONLY would have every file of Baleen compile all of them
// anew: four seconds a file.
#include <fmt/format-inl.h>

#include <locale>

FMT_BEGIN_NAMESPACE

template FMT_API locale_ref::locale_ref(const std::locale& locale);
template FMT_API auto locale_ref::get<std::locale>() const -> std::locale;

namespace detail {

template FMT_API auto dragonbox::to_decimal(float value) noexcept -> dragonbox::decimal_fp<float>;
template FMT_API auto dragonbox::to_decimal(double value) noexcept -> dragonbox::decimal_fp<double>;
template FMT_API auto thousands_sep_impl(locale_ref locale) -> thousands_sep_result<char>;
template FMT_API auto thousands_sep_impl(locale_ref locale) -> thousands_sep_result<wchar_t>;
template FMT_API auto decimal_point_impl(locale_ref locale) -> char;
template FMT_API auto decimal_point_impl(locale_ref locale) -> wchar_t;

}  // namespace detail

FMT_END_NAMESPACE
