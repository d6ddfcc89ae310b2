#include "experiments/gallery/nearest_images.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "data/pack/csv.h"
#include "experiments/gallery/match_scores.h"

namespace baleen {
namespace {

/// All models' unit features side by side, scaled so that inner products are mean cosines.
at::Tensor side_by_side(const std::vector<at::Tensor>& models) {
  return at::cat(models, 1).div_(std::sqrt(static_cast<double>(models.size()))).contiguous();
}

bool any_head(const std::vector<MatchModel>& models) {
  return std::any_of(models.begin(), models.end(),
                     [](const MatchModel& model) { return model.head != nullptr; });
}

/// Scores of all queries and some gallery images, float [Q, rows]: cosines and the heads'
/// probabilities, in the mean. A head alone keeps its logits, which tell apart what is near 1.
at::Tensor scores_of_rows(const std::vector<Sides>& models, int64_t first, int64_t count) {
  at::Tensor sum;
  for (const Sides& sides : models) {
    at::Tensor one;
    if (sides.head) {
      one = sides.head->logits(sides.raw_queries_QD, sides.raw_gallery_GD.narrow(0, first, count))
                .to(at::kDouble);
      if (models.size() > 1) one = at::sigmoid(one);
    } else {
      one = sides.queries_QD.to(at::kDouble)
                .matmul(sides.gallery_GD.narrow(0, first, count).t().to(at::kDouble));
    }
    sum = sum.defined() ? sum + one : one;
  }
  return (sum / static_cast<double>(models.size())).to(at::kFloat);
}

/// The best of rows [first, last), of equal ones the earlier; -1 behind the end.
TopK search_by_heads(const std::vector<Sides>& models, int64_t first, int64_t last, int64_t count) {
  constexpr int64_t kBlock = 512;
  const int64_t num_queries = models.front().queries_QD.size(0);
  std::vector<TopK> best{{at::full({num_queries, count}, -INFINITY, at::kFloat),
                          at::full({num_queries, count}, -1, at::kLong)}};
  for (int64_t from = first; from < last; from += kBlock) {
    const at::Tensor scores = scores_of_rows(models, from, std::min(kBlock, last - from));
    const auto [sorted, order] = scores.sort(/*stable=*/true, 1, /*descending=*/true);
    const int64_t some = std::min(count, scores.size(1));
    best.push_back(
        {at::constant_pad_nd(sorted.narrow(1, 0, some), {0, count - some}, -INFINITY).contiguous(),
         at::constant_pad_nd(order.narrow(1, 0, some) + from, {0, count - some}, -1).contiguous()});
    best = {merge_top_k(best, count)};
  }
  return best.front();
}

TopK search_by_cosines(const std::vector<Sides>& models, int64_t first, int64_t last,
                       int64_t count) {
  std::vector<at::Tensor> gallery, queries;
  for (const Sides& sides : models) {
    gallery.push_back(sides.gallery_GD);
    queries.push_back(sides.queries_QD);
  }
  TopKSearch search(side_by_side(queries), count);
  search.add(side_by_side(gallery).narrow(0, first, last - first), first);
  return search.result();
}

std::string bytes_of(const at::Tensor& values) {
  const at::Tensor whole = values.contiguous();
  return {static_cast<const char*>(whole.const_data_ptr()), whole.nbytes()};
}

at::Tensor tensor_of(const std::string& bytes, at::IntArrayRef shape, at::ScalarType dtype) {
  at::Tensor values = at::empty(shape, dtype);
  std::memcpy(values.mutable_data_ptr(), bytes.data(), bytes.size());
  return values;
}

/// Lists without each query's own image, cut to the count.
TopK without_own(const TopK& found, const std::vector<int64_t>& own_Q, int64_t count) {
  const int64_t num_queries = found.rows_QK.size(0);
  TopK kept{at::full({num_queries, count}, -INFINITY, at::kFloat),
            at::full({num_queries, count}, -1, at::kLong)};
  const auto from = found.rows_QK.accessor<int64_t, 2>();
  const auto scores = found.scores_QK.accessor<float, 2>();
  auto to = kept.rows_QK.accessor<int64_t, 2>();
  auto kept_scores = kept.scores_QK.accessor<float, 2>();
  for (int64_t q = 0; q < num_queries; ++q) {
    int64_t place = 0;
    for (int64_t k = 0; k < from.size(1) && place < count; ++k) {
      if (from[q][k] < 0 || from[q][k] == own_Q[q]) continue;
      to[q][place] = from[q][k];
      kept_scores[q][place++] = scores[q][k];
    }
  }
  return kept;
}

}  // namespace

TopK nearest_images(const std::vector<MatchModel>& models, int64_t count, Communicator& group) {
  const std::vector<Sides> sides = sides_of(models);
  const int64_t num_rows = sides.front().gallery_GD.size(0);
  const int64_t first = num_rows * group.rank() / group.size();
  const int64_t last = num_rows * (group.rank() + 1) / group.size();
  // One more: a query's own image is nearest to it.
  const TopK own = any_head(models) ? search_by_heads(sides, first, last, count + 1)
                                    : search_by_cosines(sides, first, last, count + 1);
  const std::vector<std::string> scores = group.all_gather(bytes_of(own.scores_QK));
  const std::vector<std::string> rows = group.all_gather(bytes_of(own.rows_QK));
  std::vector<TopK> parts;
  for (size_t rank = 0; rank < rows.size(); ++rank)
    parts.push_back({tensor_of(scores[rank], own.scores_QK.sizes(), at::kFloat),
                     tensor_of(rows[rank], own.rows_QK.sizes(), at::kLong)});
  const std::vector<int64_t> own_Q = own_rows(models.front().queries, models.front().gallery);
  return without_own(merge_top_k(parts, count + 1), own_Q, count);
}

std::string nearest_csv(const TopK& nearest, const std::vector<MatchModel>& models,
                        const MatchNames& names) {
  const std::vector<std::string>& queries = models.front().queries.ids;
  const std::vector<std::string>& gallery = models.front().gallery.ids;
  const auto rows = nearest.rows_QK.accessor<int64_t, 2>();
  const auto scores = nearest.scores_QK.accessor<float, 2>();
  const bool logits = models.size() == 1 && any_head(models);
  std::string text =
      fmt::format("query,place,image,individual,{}\n", any_head(models) ? "score" : "cosine");
  for (int64_t q = 0; q < rows.size(0); ++q) {
    for (int64_t place = 0; place < rows.size(1) && rows[q][place] >= 0; ++place) {
      const std::string& image = gallery[static_cast<size_t>(rows[q][place])];
      const auto name = names.gallery.find(image);
      text +=
          fmt::format("{},{},{},{},{:.6f}\n", csv_field(queries[static_cast<size_t>(q)]), place + 1,
                      csv_field(image), name == names.gallery.end() ? "" : csv_field(name->second),
                      logits ? 1 / (1 + std::exp(-scores[q][place])) : scores[q][place]);
    }
  }
  return text;
}

}  // namespace baleen
