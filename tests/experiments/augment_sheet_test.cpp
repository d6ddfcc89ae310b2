// Contact sheets of augmented batches: the picture shows what the loader delivers.
#include "experiments/augment_sheet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/base/error.h"
#include "data/pack/pack.h"
#include "tests/data/dataset_files.h"

namespace baleen {
namespace {

using ::baleen::testing::error_of;
using ::baleen::testing::TemporaryDirectory;
using ::testing::HasSubstr;

class AugmentSheetTest : public ::testing::Test {
 protected:
  AugmentSheetTest() {
    const PackOptions options = testing::tagged_chips(directory_, 30, 32);
    pack_dataset(options);
    recipe_.name = "sheet";
    recipe_.dataset = options.output;
    recipe_.folds.count = 3;
    recipe_.backbones.resize(1);
    recipe_.backbones[0].name = "resnet18";
    recipe_.stages.resize(2);
    recipe_.stages[0].size_px = 32;
    recipe_.stages[1].size_px = 32;
    recipe_.stages[0].batch = 6;
    recipe_.stages[1].batch = 6;
  }

  /// The two pictures of a cell of 32 px, as they lie on the sheet.
  std::pair<std::vector<uint8_t>, std::vector<uint8_t>> cell(const Image& sheet, int64_t column) {
    std::vector<uint8_t> halves[2];
    for (int half = 0; half < 2; ++half)
      for (int64_t y = 0; y < 32; ++y)
        for (int64_t x = 0; x < 32; ++x)
          for (int64_t c = 0; c < 3; ++c)
            halves[half].push_back(sheet.pixels[static_cast<size_t>(
                ((8 + y) * sheet.width + 8 + column * (66 + 8) + half * 34 + x) * 3 + c)]);
    return {halves[0], halves[1]};
  }

  Image sheet(int64_t stage, const std::string& augment_on = "host") {
    recipe_.training.augment_on = augment_on;
    const auto file = directory_ / "sheet.png";
    EXPECT_EQ(write_augment_sheet(recipe_, {}, {.stage = stage, .count = 6, .cell_px = 32}, file),
              6);
    return read_image(file, 3);
  }

  TemporaryDirectory directory_;
  Recipe recipe_;
};

TEST_F(AugmentSheetTest, ShowsOriginalsBesideWhatTheNetworkSees) {
  recipe_.stages[1].augment.flip_vertical = true;
  const Image plain = sheet(0);
  EXPECT_EQ(plain.width, 8 + 6 * (66 + 8));
  EXPECT_EQ(plain.height, 8 + 32 + 2 * 14 + 6 + 8);
  for (int64_t column = 0; column < 6; ++column) {
    const auto [original, seen] = cell(plain, column);
    EXPECT_EQ(original, seen);
  }
  for (const char* place : {"host", "device"}) {
    const Image flipped = sheet(1, place);
    int num_flipped = 0;
    for (int64_t column = 0; column < 6; ++column) {
      const auto [original, seen] = cell(flipped, column);
      std::vector<uint8_t> upside_down;
      for (int64_t y = 31; y >= 0; --y)
        upside_down.insert(upside_down.end(), original.begin() + y * 96,
                           original.begin() + (y + 1) * 96);
      EXPECT_TRUE(seen == original || seen == upside_down) << place << column;
      num_flipped += seen == upside_down;
    }
    EXPECT_GT(num_flipped, 0);
    EXPECT_LT(num_flipped, 6);
  }
}

TEST_F(AugmentSheetTest, WhatTheRecipeDoesNotHaveIsRefused) {
  const auto file = directory_ / "sheet.png";
  const auto message = [&](const AugmentSheetOptions& options) {
    const Error error = error_of([&] { write_augment_sheet(recipe_, {}, options, file); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    return std::string(error.what());
  };
  EXPECT_THAT(message({.stage = 2}), HasSubstr("no stage 2: the recipe has 2"));
  EXPECT_THAT(message({.fold = 3}), HasSubstr("no fold 3: the recipe has 3"));
  EXPECT_THAT(message({.backbone = -1}), HasSubstr("no backbone -1"));
  EXPECT_THAT(message({.count = 0}), HasSubstr("at least one image"));
}

}  // namespace
}  // namespace baleen
