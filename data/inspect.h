#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/image/image.h"
#include "data/packed_dataset.h"

namespace baleen {

/// What a packed dataset holds, for people: samples, sizes, encoding, mean colour, labels with
/// counts, shards, digest. Reads the manifest alone. @throws Error kData as PackedDataset::open.
std::string inspect_dataset(const std::filesystem::path& directory);

/// How write_contact_sheet lays out its grid.
struct ContactSheetOptions {
  int64_t columns = 6;
  int64_t cell_px = 160;  ///< images are scaled to fit a square of this side
};

/// The labels of a sample as text: tags separated by spaces, or the class.
std::string label_text(const PackedDataset& dataset, int64_t row);

/// One cell of a contact sheet: images side by side, over lines of text.
struct SheetCell {
  std::vector<Image> images;  ///< as many in every cell
  std::vector<std::string> lines;
};

/// Writes a PNG with a grid of cells.
/// @throws Error kUsage without a cell, kStorage when the file can't be written.
void write_contact_sheet(std::span<const SheetCell> cells, const std::filesystem::path& file,
                         const ContactSheetOptions& options = {});

/// Writes a PNG with a grid of samples, each over its id and labels.
/// @throws Error kData for a row that can't be read, kStorage when the file can't be written.
void write_contact_sheet(const PackedDataset& dataset, std::span<const int64_t> rows,
                         const std::filesystem::path& file,
                         const ContactSheetOptions& options = {});

}  // namespace baleen
