#include "core/weights/stem.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "core/base/error.h"

namespace baleen {
namespace {

constexpr int64_t kColours = 3;

at::Tensor grey_weights(const at::Tensor& weight_OIHW, GreyStem grey) {
  // In double: one rounding, to the weights' own dtype.
  const at::Tensor wide = weight_OIHW.to(at::kDouble);
  if (grey == GreyStem::kSum) return wide.sum(1, /*keepdim=*/true).to(weight_OIHW.scalar_type());
  const at::Tensor luma = at::tensor({0.299, 0.587, 0.114}, at::kDouble).view({1, kColours, 1, 1});
  return (wide * luma).sum(1, /*keepdim=*/true).to(weight_OIHW.scalar_type());
}

at::Tensor with_zero_channels(const at::Tensor& weight_OIHW, int64_t count) {
  std::vector<int64_t> sizes = weight_OIHW.sizes().vec();
  sizes[1] = count;
  return at::cat({weight_OIHW, at::zeros(sizes, weight_OIHW.options())}, 1);
}

}  // namespace

GreyStem grey_stem_from_name(const std::string& name) {
  if (name == "luma") return GreyStem::kLuma;
  if (name == "sum") return GreyStem::kSum;
  throw Error(ErrorKind::kConfiguration, fmt::format("unknown grey_stem '{}'", name),
              "known: luma, sum");
}

AdaptedStem adapt_stem(const at::Tensor& weight_OIHW, const StemInput& input, GreyStem grey,
                       bool file_has_coordinates) {
  AdaptedStem stem{weight_OIHW, ""};
  if (weight_OIHW.dim() != 4) return stem;
  const int64_t given = weight_OIHW.size(1);
  const int64_t wanted = input.image_channels + input.coordinate_channels;
  // Three channels may be colours, or one channel and two coordinates: files of ours say which.
  const bool ambiguous =
      input.coordinate_channels > 0 && given == kColours && !file_has_coordinates;
  if (given == wanted && !ambiguous) return stem;
  if (file_has_coordinates) return stem;

  at::Tensor image_part;
  if (given == input.image_channels) {
    image_part = weight_OIHW;
  } else if (given == kColours && input.image_channels == 1) {
    image_part = grey_weights(weight_OIHW, grey);
    stem.note = grey == GreyStem::kLuma
                    ? "the stem's 3 channels became 1, weighted by luma (.299, .587, .114)"
                    : "the stem's 3 channels became 1, their sum";
  } else if (given == kColours && input.image_channels > kColours) {
    const int64_t extra = input.image_channels - kColours;
    image_part = with_zero_channels(weight_OIHW, extra);
    stem.note = fmt::format("the stem's channel {} begins at zero", input.image_channels);
  } else {
    return stem;
  }
  if (input.coordinate_channels > 0) {
    image_part = with_zero_channels(image_part, input.coordinate_channels);
    stem.note += fmt::format("{}the stem's {} coordinate channels begin at zero",
                             stem.note.empty() ? "" : ", ", input.coordinate_channels);
  }
  stem.weight_OIHW = image_part;
  return stem;
}

}  // namespace baleen
