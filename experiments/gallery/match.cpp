#include "experiments/gallery/match.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/metrics/retrieval.h"
#include "data/pack/csv.h"
#include "experiments/gallery/key_point_scores.h"
#include "experiments/gallery/match_scores.h"

namespace baleen {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Map, weights and threshold.
/// @returns the validation, where there was anything to choose
std::optional<Validation> choose(const std::vector<Sides>& models, const Gallery& gallery,
                                 const MatchOptions& options, MatchResult& result) {
  result.map = options.map.map;
  const size_t num_models = models.size() + (options.classifier ? 1 : 0);
  result.weights.assign(num_models, 1.0 / static_cast<double>(num_models));
  result.threshold = options.threshold.value_or(-std::numeric_limits<double>::infinity());
  const bool threshold_open = !options.unknown.empty() && !options.threshold;
  const bool key_points_open = options.key_points && !options.key_points->weight;
  if (num_models < 2 && !options.choose_map && !threshold_open && !key_points_open)
    return std::nullopt;
  std::optional<Validation> validation = validate(models, gallery, options);
  if (!validation) {
    // In the order in which they matter; equal weights of the models are no bad guess.
    const char* hint = threshold_open       ? "give the --threshold"
                       : options.choose_map ? "name the --map"
                       : key_points_open    ? "give their weight with --key-point-weight"
                                            : nullptr;
    if (hint)
      throw Error(ErrorKind::kData,
                  "nobody in the gallery has two images: nothing shows which answers are right",
                  hint);
    log_warning("nobody in the gallery has two images: all models count the same");
    return std::nullopt;
  }
  std::vector<DistanceMap> candidates{options.map.map};
  if (options.choose_map) {
    candidates = {DistanceMap::kLogarithmic, DistanceMap::kReciprocal, DistanceMap::kSoftmax,
                  DistanceMap::kStudent, DistanceMap::kGaussian};
  }
  for (const DistanceMap candidate : candidates) {
    DistanceMapOptions map = options.map;
    map.map = candidate;
    map.perplexity = std::min(map.perplexity, static_cast<double>(gallery.identities.count));
    const std::vector<at::Tensor> scores = mapped(validation->distances_MQC, map);
    const std::vector<double> weights =
        choose_weights(scores, gallery.names, validation->truth, options.answers);
    const ThresholdChoice found =
        choose_threshold(fused(scores, weights), gallery.names, validation->truth, options.answers);
    log_info("validation: {:<11} distances are worth {:.4f} with threshold {:.4f}",
             name_of(candidate), found.score, found.threshold);
    if (result.validation && found.score <= result.validation->score) continue;
    result.validation = found;
    result.weights = weights;
    result.map = candidate;
  }
  if (threshold_open) result.threshold = result.validation->threshold;
  return validation;
}

/// What the learners' verdict takes off each query's scores, so that doubtful ones fall below the
/// threshold: its weight and the threshold are chosen again on validation, where the verdict is of
/// learners that had not seen the image.
at::Tensor newcomer_shift(const Validation& validation, const std::vector<at::Tensor>& test_MTC,
                          const Gallery& gallery, const DistanceMapOptions& map,
                          const MatchOptions& options, MatchResult& result) {
  constexpr std::array kWeights{0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0};
  constexpr double kCertain = 1e-6;
  const std::vector<at::Tensor> scores = mapped(validation.distances_MQC, map);
  std::vector<double> is_new;
  for (const std::string& truth : validation.truth) is_new.push_back(truth.empty() ? 1.0 : 0.0);
  const NewcomerResult verdict =
      find_newcomers(with_ensemble(scores, result.weights), at::tensor(is_new, at::kDouble),
                     with_ensemble(test_MTC, result.weights), *options.newcomers);
  result.newcomer_auc = verdict.auc;
  result.newcomers_missing = verdict.missing;
  const at::Tensor fused_QC = fused(scores, result.weights, validation.shift_QC);
  const double spread = fused_QC.amax({1}).std(/*unbiased=*/false).item<double>();
  const at::Tensor doubt_Q = at::logit(verdict.oof_N, kCertain);
  for (const double weight : kWeights) {
    const ThresholdChoice found =
        choose_threshold(fused_QC - (weight * spread * doubt_Q).unsqueeze(1), gallery.names,
                         validation.truth, options.answers);
    if (found.score <= result.validation->score + 1e-12) continue;
    result.validation = found;
    result.threshold = found.threshold;
    result.newcomer_weight = weight * spread;
  }
  return result.newcomer_weight * at::logit(verdict.test_T, kCertain);
}

/// The gallery images that look most like each query, of the individuals it was answered with.
void find_images(const Sides& sides, const std::vector<int64_t>& own_Q, MatchResult& result) {
  std::map<std::string, std::vector<int64_t>> rows_of;
  for (size_t row = 0; row < result.gallery_names.size(); ++row)
    rows_of[result.gallery_names[row]].push_back(static_cast<int64_t>(row));
  for (size_t q = 0; q < result.answers.size(); ++q) {
    for (MatchAnswer& answer : result.answers[q]) {
      const auto found = rows_of.find(answer.name);
      if (found == rows_of.end() || std::isnan(answer.score)) continue;
      const at::Tensor rows = at::tensor(found->second, at::kLong);
      const auto query = static_cast<int64_t>(q);
      const at::Tensor scores =
          sides.head ? sides.head
                           ->logits(sides.raw_queries_QD.narrow(0, query, 1),
                                    sides.raw_gallery_GD.index_select(0, rows))
                           .squeeze(0)
                     : at::mv(sides.gallery_GD.index_select(0, rows), sides.queries_QD[query]);
      const at::Tensor order = scores.argsort(/*stable=*/true, 0, /*descending=*/true);
      for (int64_t place = 0; place < order.numel() && answer.image < 0; ++place) {
        const int64_t row = found->second[order[place].item<int64_t>()];
        if (own_Q.empty() || row != own_Q[q]) answer.image = row;
      }
    }
  }
}

void judge(const MatchNames& names, const std::vector<int64_t>& own_Q, MatchResult& result,
           const MatchOptions& options) {
  std::vector<std::vector<std::string>> ranked;
  std::vector<std::string> truth;
  std::map<std::string, int64_t> images_of;
  for (const std::string& name : result.gallery_names) ++images_of[name];
  int64_t right = 0;
  for (size_t q = 0; q < result.query_ids.size(); ++q) {
    const auto found = names.queries.find(result.query_ids[q]);
    result.right_names.emplace_back();
    if (found == names.queries.end()) continue;
    // Without the query itself.
    const auto images = images_of.find(found->second);
    const int64_t others = images == images_of.end() ? 0 : images->second - (own_Q[q] >= 0);
    truth.push_back(others > 0 ? found->second : options.unknown);
    result.right_names.back() = truth.back();
    ranked.emplace_back();
    for (const MatchAnswer& answer : result.answers[q]) ranked.back().push_back(answer.name);
    right += !ranked.back().empty() && ranked.back().front() == truth.back();
  }
  if (truth.empty()) return;
  result.mean_reciprocal_place = mean_reciprocal_place(ranked, truth, options.answers);
  result.first_right = static_cast<double>(right) / static_cast<double>(truth.size());
}

}  // namespace

void check_options(const MatchOptions& options) {
  if (options.newcomers && (options.unknown.empty() || options.threshold))
    throw Error(ErrorKind::kUsage, "newcomers are judged where a threshold is to be chosen",
                "name the unknown, and leave the threshold to the search");
  if (options.rerank && options.score.kind == IdentityScore::kMean)
    throw Error(ErrorKind::kUsage, "re-ranking scores images, not means of an individual's images",
                "score individuals by max or top_mean");
}

MatchResult match(const std::vector<MatchModel>& models, const MatchNames& names,
                  const MatchOptions& options) {
  if (models.empty()) throw Error(ErrorKind::kUsage, "there are no features to match");
  check_options(options);
  MatchResult result;
  result.query_ids = models.front().queries.ids;
  result.gallery_ids = models.front().gallery.ids;
  const std::vector<Sides> sides = sides_of(models);
  const Gallery gallery = gallery_of(result.gallery_ids, names);
  for (const int64_t identity : gallery.identities.identity_G)
    result.gallery_names.push_back(gallery.names[identity]);
  if (!options.unknown.empty() && std::ranges::count(gallery.names, options.unknown) > 0)
    throw Error(ErrorKind::kUsage,
                fmt::format("the gallery has an individual called '{}'", options.unknown),
                "leave those images out: the name is for whoever is not in the gallery");
  const std::vector<int64_t> own_Q = own_rows(models.front().queries, models.front().gallery);
  result.num_own = std::ssize(own_Q) - std::count(own_Q.begin(), own_Q.end(), -1);

  std::optional<Validation> validation = choose(sides, gallery, options, result);
  const std::vector<at::Tensor> distances =
      all_distances(sides, gallery.identities, options, own_Q);
  DistanceMapOptions map = options.map;
  map.map = result.map;
  map.perplexity = std::min(map.perplexity, static_cast<double>(gallery.identities.count));
  const std::vector<at::Tensor> scores_MQC = mapped(distances, map);
  at::Tensor scores_QC = fused(scores_MQC, result.weights).contiguous();
  if (options.key_points) {
    const at::Tensor validation_QC =
        validation ? fused(mapped(validation->distances_MQC, map), result.weights) : at::Tensor();
    scores_QC = scores_QC + key_point_shift(scores_QC, gallery, own_Q, options, validation,
                                            validation_QC, result);
  }
  if (options.newcomers) {
    scores_QC = scores_QC -
                newcomer_shift(*validation, scores_MQC, gallery, map, options, result).unsqueeze(1);
  }
  if (!options.unknown.empty() && options.share_unknown)
    result.threshold = threshold_for_share(scores_QC, *options.share_unknown);

  std::unordered_map<std::string, int64_t> column_of;
  for (int64_t c = 0; c < std::ssize(gallery.names); ++c) column_of.emplace(gallery.names[c], c);
  const auto scores = scores_QC.accessor<double, 2>();
  for (int64_t q = 0; q < std::ssize(result.query_ids); ++q) {
    result.answers.emplace_back();
    for (const std::string& name : best_names(scores_QC[q], gallery.names, options.answers,
                                              options.unknown, result.threshold)) {
      const auto column = column_of.find(name);
      MatchAnswer answer{name, kNaN};
      if (column != column_of.end()) {
        answer.score = scores[q][column->second];
        if (result.points_QC.defined())
          answer.points = std::lround(result.points_QC[q][column->second].item<double>());
      }
      result.answers.back().push_back(answer);
    }
  }
  find_images(sides.front(), own_Q, result);
  judge(names, own_Q, result, options);
  return result;
}

std::string answers_csv(const MatchResult& result, const std::string& separator) {
  std::string text = "Image,Id\n";
  for (size_t q = 0; q < result.query_ids.size(); ++q) {
    std::string names;
    for (const MatchAnswer& answer : result.answers[q]) {
      if (answer.name.find(separator) != std::string::npos) {
        throw Error(ErrorKind::kUsage,
                    fmt::format("the individual '{}' has the separator '{}' in its name",
                                answer.name, separator),
                    "choose another with --separator");
      }
      names += fmt::format("{}{}", names.empty() ? "" : separator, answer.name);
    }
    text += fmt::format("{},{}\n", csv_field(result.query_ids[q]), csv_field(names));
  }
  return text;
}

std::string pseudo_labels_csv(const MatchResult& result, double certain) {
  struct Row {
    std::string id, name;
    double confidence;
    bool accepted;
  };
  const std::set<std::string> gallery(result.gallery_ids.begin(), result.gallery_ids.end());
  std::vector<Row> rows;
  for (size_t q = 0; q < result.query_ids.size(); ++q) {
    std::vector<const MatchAnswer*> known;
    for (const MatchAnswer& answer : result.answers[q])
      if (!std::isnan(answer.score)) known.push_back(&answer);
    if (known.size() < 2 && result.answers[q].size() < 2)
      throw Error(ErrorKind::kUsage,
                  "one answer per query does not tell whether another individual is as likely",
                  "raise --answers to 3 or more");
    if (known.empty()) continue;
    const auto above = std::count_if(known.begin(), known.end(), [&](const MatchAnswer* answer) {
      return answer->score > certain;
    });
    rows.push_back({result.query_ids[q], known.front()->name, known.front()->score,
                    above == 1 && !gallery.contains(result.query_ids[q])});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.confidence < b.confidence; });
  std::string text = "id,labels,confidence,accepted\n";
  for (const Row& row : rows)
    text += fmt::format("{},{},{:.9g},{}\n", csv_field(row.id), csv_field(row.name), row.confidence,
                        row.accepted ? "yes" : "no");
  return text;
}

}  // namespace baleen
