#include "core/matching/top_k.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/base/error.h"
#include "core/base/tensor_threads.h"
#include "core/matching/score_scan.h"
#include "core/matching/score_tile.h"

namespace baleen {
namespace {

/// A block of scores stays in a core's cache, and its matrix product is large enough to be fast.
constexpr int64_t kQueriesPerBlock = 512;
constexpr int64_t kGalleryRowsPerBlock = 1024;
/// Gallery rows that stay in a core's cache while the tiles of many queries go over them.
constexpr int64_t kRowsPerTileBlock = 256;
/// Fewer queries would leave most of a tile empty.
constexpr int64_t kLeastTiledQueries = kTileQueries / 2;
constexpr float kNothing = -std::numeric_limits<float>::infinity();
constexpr float kUnreachable = std::numeric_limits<float>::infinity();

/// One query's list, best first.
struct List {
  float* scores;
  int64_t* rows;
  int64_t k;

  float worst() const { return scores[k - 1]; }
  /// `row` is above all rows that came before, or compared by the caller.
  void insert(float score, int64_t row) {
    int64_t place = k - 1;
    for (; place > 0 && scores[place - 1] < score; --place) {
      scores[place] = scores[place - 1];
      rows[place] = rows[place - 1];
    }
    scores[place] = score;
    rows[place] = row;
  }
};

void offer_scores(const float* scores, int64_t count, int64_t first_row, List list) {
  for (int64_t j = 0; j < count;) {
    j = first_above(scores, j, count, list.worst());
    if (j == count) return;
    list.insert(scores[j], first_row + j);
    ++j;
  }
}

int64_t num_blocks(int64_t count, int64_t per_block) { return (count + per_block - 1) / per_block; }

/// The queries of each tile as score_tile() reads them, [T, D, kTileQueries]; zeros behind the
/// last.
std::vector<float> tiled(const at::Tensor& queries_QD) {
  const int64_t num_queries = queries_QD.size(0), width = queries_QD.size(1);
  const int64_t tiles = num_blocks(num_queries, kTileQueries);
  std::vector<float> all(static_cast<size_t>(tiles * width * kTileQueries), 0.0f);
  const float* from = queries_QD.const_data_ptr<float>();
  for (int64_t q = 0; q < num_queries; ++q) {
    float* to = all.data() + q / kTileQueries * width * kTileQueries + q % kTileQueries;
    for (int64_t k = 0; k < width; ++k) to[k * kTileQueries] = from[q * width + k];
  }
  return all;
}

}  // namespace

TopKSearch::TopKSearch(const at::Tensor& queries_QD, int64_t k)
    : queries_QD_(queries_QD.contiguous()), k_(k) {
  if (queries_QD.dim() != 2 || queries_QD.scalar_type() != at::kFloat) {
    throw Error(ErrorKind::kInternal, "queries are a float32 matrix, one row each");
  }
  if (k < 1) throw Error(ErrorKind::kConfiguration, fmt::format("the best {} of a gallery", k));
  scores_.assign(static_cast<size_t>(queries_QD.size(0) * k), kNothing);
  rows_.assign(scores_.size(), -1);
  if (has_score_tile() && queries_QD.size(0) >= kLeastTiledQueries) tiles_ = tiled(queries_QD_);
}

void TopKSearch::add(const at::Tensor& gallery_GD, int64_t first_row) {
  if (gallery_GD.dim() != 2 || gallery_GD.size(1) != queries_QD_.size(1)) {
    throw Error(ErrorKind::kData,
                fmt::format("gallery features have {} numbers, query features {}",
                            gallery_GD.size(-1), queries_QD_.size(1)),
                "both sides must come from the same network");
  }
  const at::Tensor rows = gallery_GD.contiguous();
  if (tiles_.empty()) {
    add_by_products(rows, first_row);
  } else {
    add_by_tiles(rows, first_row);
  }
}

void TopKSearch::add_by_tiles(const at::Tensor& gallery_GD, int64_t first_row) {
  const int64_t num_queries = queries_QD_.size(0), width = queries_QD_.size(1);
  const int64_t num_rows = gallery_GD.size(0), whole_rows = num_rows / kTileRows * kTileRows;
  const float* gallery = gallery_GD.const_data_ptr<float>();
  // Rows that don't fill a tile, and zeros that nobody looks at.
  std::vector<float> rest(static_cast<size_t>(kTileRows * width), 0.0f);
  std::copy(gallery + whole_rows * width, gallery + num_rows * width, rest.begin());
  split_over_threads(0, num_blocks(num_queries, kTileQueries), 1, [&](int64_t begin, int64_t end) {
    std::vector<float> bounds(static_cast<size_t>((end - begin) * kTileQueries), kUnreachable);
    for (int64_t q = begin * kTileQueries; q < std::min(num_queries, end * kTileQueries); ++q)
      bounds[q - begin * kTileQueries] = scores_[(q + 1) * k_ - 1];
    float scores[kTileRows * kTileQueries];
    const auto go_over = [&](int64_t tile, const float* rows, int64_t row, int64_t count) {
      float* bound = bounds.data() + (tile - begin) * kTileQueries;
      const float* queries = tiles_.data() + tile * width * kTileQueries;
      if (!score_tile(rows, queries, width, bound, scores)) return;
      for (int64_t r = 0; r < count; ++r) {
        for (int64_t lane = 0; lane < kTileQueries; ++lane) {
          const float score = scores[r * kTileQueries + lane];
          if (!(score > bound[lane])) continue;
          const int64_t place = (tile * kTileQueries + lane) * k_;
          List list{scores_.data() + place, rows_.data() + place, k_};
          list.insert(score, first_row + row + r);
          bound[lane] = list.worst();
        }
      }
    };
    for (int64_t block = 0; block < whole_rows; block += kRowsPerTileBlock) {
      const int64_t last = std::min(block + kRowsPerTileBlock, whole_rows);
      for (int64_t tile = begin; tile < end; ++tile)
        for (int64_t row = block; row < last; row += kTileRows)
          go_over(tile, gallery + row * width, row, kTileRows);
    }
    for (int64_t tile = begin; tile < end && whole_rows < num_rows; ++tile)
      go_over(tile, rest.data(), whole_rows, num_rows - whole_rows);
  });
}

void TopKSearch::add_by_products(const at::Tensor& gallery_GD, int64_t first_row) {
  const int64_t num_queries = queries_QD_.size(0), num_rows = gallery_GD.size(0);
  const at::Tensor gallery_DG = gallery_GD.t();
  const int64_t blocks = num_blocks(num_queries, kQueriesPerBlock);
  split_over_threads(0, blocks, 1, [&](int64_t begin, int64_t end) {
    const at::NoGradGuard no_grad;
    at::Tensor buffer = at::empty({kQueriesPerBlock, kGalleryRowsPerBlock}, at::kFloat);
    for (int64_t block = begin; block < end; ++block) {
      const int64_t query = block * kQueriesPerBlock;
      const int64_t queries = std::min(kQueriesPerBlock, num_queries - query);
      const at::Tensor part_QD = queries_QD_.narrow(0, query, queries);
      for (int64_t row = 0; row < num_rows; row += kGalleryRowsPerBlock) {
        const int64_t rows = std::min(kGalleryRowsPerBlock, num_rows - row);
        at::Tensor scores_QG = buffer.view(-1).narrow(0, 0, queries * rows).view({queries, rows});
        at::mm_out(scores_QG, part_QD, gallery_DG.narrow(1, row, rows));
        const float* scores = scores_QG.const_data_ptr<float>();
        for (int64_t q = 0; q < queries; ++q) {
          const int64_t place = (query + q) * k_;
          offer_scores(scores + q * rows, rows, first_row + row,
                       {scores_.data() + place, rows_.data() + place, k_});
        }
      }
    }
  });
}

TopK TopKSearch::result() const {
  const std::vector<int64_t> shape{queries_QD_.size(0), k_};
  return {at::tensor(scores_, at::kFloat).view(shape), at::tensor(rows_, at::kLong).view(shape)};
}

TopK merge_top_k(const std::vector<TopK>& parts, int64_t k) {
  std::vector<at::Tensor> scores, rows;
  for (const TopK& part : parts) {
    scores.push_back(part.scores_QK);
    rows.push_back(part.rows_QK);
  }
  // By row, then by falling score: the second sort keeps the order of equal scores.
  const at::Tensor all_rows = at::cat(rows, 1);
  const at::Tensor last = at::where(all_rows < 0, std::numeric_limits<int64_t>::max(), all_rows);
  const at::Tensor by_row = at::argsort(last, /*stable=*/true, 1, false);
  const at::Tensor ordered = at::cat(scores, 1).gather(1, by_row);
  const at::Tensor by_score = at::argsort(ordered, /*stable=*/true, 1, /*descending=*/true);
  const int64_t kept = std::min(k, ordered.size(1));
  const at::Tensor order = by_row.gather(1, by_score).narrow(1, 0, kept);
  return {at::cat(scores, 1).gather(1, order), all_rows.gather(1, order)};
}

}  // namespace baleen
