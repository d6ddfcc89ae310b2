#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config/field.h"
#include "core/config/problems.h"
#include "data/duplicates.h"
#include "data/image/dehaze.h"

namespace baleen {

/// How images are cut to boxes that someone, or something, has drawn around their subjects.
struct BoxOptions {
  std::string file;
  std::string image_column;
  double expand = 0.05;
  double aspect = 2.15;
};

template <class Visitor>
void visit_fields(Visitor& v, BoxOptions& o) {
  v.field(
      "file", o.file,
      "CSV file with one box per image in the columns x0, y0, x1, y1, in pixels of the image as "
      "it is seen; empty: images are not cut. An image without a box is kept whole");
  v.field("image_column", o.image_column, "column with the sample's id; empty: the first column");
  v.field("expand", o.expand, "share of the box that is added on each side",
          config::between(0, 10));
  v.field("aspect", o.aspect,
          "width / height that boxes grow to, with the image's mean colour where they reach beyond "
          "it; fit: squash then brings all to one size alike; 0: as they are",
          config::between(0, 100));
}

/// What `baleen pack` reads (a YAML file with these keys) and how it stores it.
struct PackOptions {
  std::string output;       ///< directory to make
  std::string source;       ///< how the images and labels lie on disk
  std::string images;       ///< folder of images, or the IDX file of images
  std::string labels_file;  ///< CSV with labels, or the IDX file of labels
  std::string image_column = "image";
  std::string label_column;  ///< empty: tags or id, after the source
  std::string extension;     ///< added to the names in the CSV to find the file
  std::vector<std::string>
      labels;  ///< column order of labels or classes; empty: those found, sorted
  std::string group_column;
  std::string group_file;
  std::string mask_dir;
  std::string exclude_file;
  std::string rotate_file;

  BoxOptions boxes;
  std::string fit = "none";
  int64_t size_px = 0;
  std::vector<int64_t> also_sizes_px;
  std::string enlarge = "bilinear";
  std::string shrink = "area";
  int64_t channels = 3;
  DehazeOptions dehaze;
  std::string encoding = "raw";
  int64_t jpeg_quality = 92;
  int64_t shard_samples = 4096;

  DuplicateOptions duplicates;
  std::vector<std::string> balance;
  double hold_out = 0;
  int64_t limit_per_label = 0;
  int64_t limit_total = 0;
  int64_t seed = 0;
  std::string bad_images = "fail";
  int64_t threads = 0;  ///< never changes what is written
};

template <class Visitor>
void visit_fields(Visitor& v, PackOptions& o) {
  v.field("output", o.output,
          "directory to make; with hold_out the test part goes to <output>-test",
          config::required());
  v.field("source", o.source,
          "what is read: csv_tags (folder of images, CSV with tags separated by spaces: "
          "multi-label), csv_ids (folder, CSV "
          "with one class or individual per image), folders (one folder per class), idx (IDX "
          "files, plain or gzip), images "
          "(folder without labels, as a test set)",
          config::required(config::one_of({"csv_tags", "csv_ids", "folders", "idx", "images"})));
  v.field("images", o.images, "folder of images, or IDX file of images", config::required());
  v.field("labels_file", o.labels_file,
          "CSV file with labels (csv_tags, csv_ids), or IDX file of labels (idx)");
  v.field("image_column", o.image_column,
          "CSV column with the image's file name, which is the sample's id");
  v.field("label_column", o.label_column,
          "CSV column with tags or class; empty: tags for csv_tags, id for csv_ids");
  v.field("extension", o.extension,
          "added to the names in the CSV where they come without, for instance .jpg");
  v.field("labels", o.labels,
          "labels or classes in the order of their columns; empty: those that occur, sorted");
  v.field("group_column", o.group_column,
          "CSV column with a group (a patient, a place, a burst of photographs); a group is never "
          "split between folds or parts");
  v.field("group_file", o.group_file,
          "CSV file with image_column and group_column; empty: labels_file has the column");
  v.field("mask_dir", o.mask_dir,
          "folder with a grey image per sample, <id> or <id>.png, bright where its subject is: all "
          "else is filled with the image's mean colour. A sample without mask, or whose mask is "
          "empty, stays as it is; empty: no masks");
  v.field("exclude_file", o.exclude_file,
          "text file with the ids of samples to leave out, one per line; empty: none");
  v.field("rotate_file", o.rotate_file,
          "text file with the ids of images that are upside down, one per line: they, and their "
          "boxes, are turned by 180°; empty: none");
  v.field("boxes", o.boxes, "cutting images to the boxes of a table, before they are fitted");
  v.field("fit", o.fit,
          "how images get size_px: squash (aspect not kept), crop (shorter side to size, then the "
          "central square), none (all "
          "images must have one size already)",
          config::one_of({"none", "squash", "crop"}));
  v.field("size_px", o.size_px, "side of the stored square in pixels; for squash and crop",
          config::between(0, 65535));
  v.field("also_sizes_px", o.also_sizes_px,
          "further shorter sides, in pixels, stored beside the largest (raw encoding): a "
          "low-resolution stage then reads a "
          "fraction of the bytes, for a share of (size / largest)² more disk",
          config::between(1, 65535));
  v.field("enlarge", o.enlarge, "filter for images that are too small",
          config::one_of({"bilinear", "cubic"}));
  v.field("shrink", o.shrink,
          "filter for images that are too large: area (mean of what each pixel covers, as OpenCV's "
          "INTER_AREA; sharper) or antialias (as Pillow's and torchvision's antialiased bilinear, "
          "for weights that were trained on such images)",
          config::one_of({"area", "antialias"}));
  v.field("channels", o.channels, "1 (grey) or 3 (RGB)", config::between(1, 3));
  v.field("dehaze", o.dehaze, "removal of haze, after fitting");
  v.field("encoding", o.encoding,
          "raw (pixels, mapped and read without decoding) or jpeg (a tenth of the space; decoding "
          "costs about a millisecond "
          "for 256 x 256 px; files that fit as they are keep their bytes)",
          config::one_of({"raw", "jpeg"}));
  v.field("jpeg_quality", o.jpeg_quality, "quality of images that are encoded again",
          config::between(1, 100));
  v.field("shard_samples", o.shard_samples, "samples per shard file", config::between(1, 1 << 20));
  v.field("duplicates", o.duplicates,
          "images that show the same picture, found by their perceptual hashes");
  v.field("balance", o.balance,
          "copies of the smaller classes' images, until all classes have as many as the largest: "
          "symmetries to make them with, in this order (flip_horizontal, flip_vertical, rot180, "
          "rot90, rot270, transpose, anti_transpose), or [d4] for all; each image is copied once "
          "per symmetry at most. Copies are called <id>@<symmetry>, are in the training part only, "
          "stay in their original's fold and are never predicted; empty: none");
  v.field("hold_out", o.hold_out,
          "share of the samples set apart as a test set, balanced over labels; 0: none",
          config::between(0, 0.9));
  v.field(
      "limit_per_label", o.limit_per_label,
      "keep a sample only while one of its labels has fewer than this many samples; 0: no limit",
      config::at_least(0));
  v.field("limit_total", o.limit_total, "at most this many samples; 0: no limit",
          config::at_least(0));
  v.field("seed", o.seed, "which samples hold_out and the limits choose", config::at_least(0));
  v.field("bad_images", o.bad_images,
          "fail (nothing is written; every bad file is named) or quarantine (packed without them; "
          "quarantine.csv lists file "
          "and reason)",
          config::one_of({"fail", "quarantine"}));
  v.field("threads", o.threads,
          "threads that decode; 0: one per core; changes no byte of the result",
          config::between(0, 1024));
}

/// Checks that concern several fields.
void validate(PackOptions& options, config::Problems& problems);

/// Makes relative paths relative to `base`, the folder of the YAML file.
void resolve_paths(PackOptions& options, const std::filesystem::path& base);

}  // namespace baleen
