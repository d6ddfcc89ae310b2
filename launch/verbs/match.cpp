#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "core/base/atomic_file.h"
#include "core/base/stopwatch.h"
#include "data/image/image.h"
#include "data/pack/csv.h"
#include "distributed/communicator.h"
#include "experiments/collective.h"
#include "experiments/gallery/match.h"
#include "experiments/gallery/match_page.h"
#include "launch/process.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

constexpr int64_t kThumbnailPx = 160;

struct MatchArguments {
  std::vector<std::string> gallery, queries, weights;
  std::string identities, truth, gallery_images, query_images;
  std::string output = "matches.csv", page, title = "Matches", separator = " ";
  std::string score = "max", map = "logarithmic", threshold = "auto";
  bool rerank = false, newcomers = false, classify = false;
  NewcomerOptions newcomer_options;
  std::string light_gbm, keep_features;
  bool keep_length = false;
  RerankOptions rerank_options;
  int64_t page_queries = 200;
  EmbedOptions embed;
  MatchOptions options;
};

/// One rank alone, where nothing was started by a launcher.
class OneRank final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void barrier() override {}
  bool any(bool here) override { return here; }
  std::vector<std::string> all_gather(const std::string& bytes) override { return {bytes}; }
  std::vector<std::string> gather(const std::string& bytes, int) override { return {bytes}; }
  std::string broadcast(const std::string& bytes, int) override { return bytes; }
  int64_t max(int64_t value) override { return value; }
  void close() override {}
};

/// A packed dataset that one side's images and names come from; null: the side is tables only.
std::shared_ptr<const PackedDataset> open_images(const std::vector<std::string>& side,
                                                 const std::string& images) {
  if (!images.empty()) return PackedDataset::open(images);
  if (std::filesystem::is_directory(side.front())) return PackedDataset::open(side.front());
  return nullptr;
}

/// Individuals by image: a CSV file with columns Image and Id, else the classes of packed images.
std::map<std::string, std::string> names_of(const std::string& file, const PackedDataset* dataset) {
  std::map<std::string, std::string> names;
  if (!file.empty()) {
    const CsvTable table = CsvTable::read(file);
    const size_t image = table.column("Image"), id = table.column("Id");
    for (size_t row = 0; row < table.num_rows(); ++row) {
      const auto [place, fresh] = names.emplace(table.at(row, image), table.at(row, id));
      if (!fresh && place->second != table.at(row, id)) {
        throw Error(ErrorKind::kData,
                    fmt::format("{}:{}: '{}' is '{}' here and '{}' before", file, table.line(row),
                                place->first, table.at(row, id), place->second));
      }
    }
  } else if (dataset && dataset->target_kind() == TargetKind::kSingleClass) {
    for (const int64_t row : dataset->originals())
      names[dataset->id(row)] =
          dataset->label_names()[static_cast<size_t>(dataset->class_index(row))];
  }
  return names;
}

std::vector<MatchModel> load_models(const MatchArguments& arguments, const VerbContext& context,
                                    Communicator& group) {
  std::vector<MatchModel> models;
  if (arguments.weights.empty()) {
    if (arguments.gallery.size() != arguments.queries.size()) {
      throw Error(ErrorKind::kUsage,
                  fmt::format("{} tables of gallery features and {} of query features",
                              arguments.gallery.size(), arguments.queries.size()),
                  "give both once per model, in the same order");
    }
    on_first_rank(group, [&] {
      for (size_t m = 0; m < arguments.gallery.size(); ++m)
        models.push_back({.gallery = read_features(arguments.gallery[m]),
                          .queries = read_features(arguments.queries[m])});
    });
    return models;
  }
  if (arguments.gallery.size() != 1 || arguments.queries.size() != 1) {
    throw Error(ErrorKind::kUsage,
                "with --weights, gallery and queries are one packed dataset each");
  }
  const auto gallery = PackedDataset::open(arguments.gallery[0]);
  const auto queries = PackedDataset::open(arguments.queries[0]);
  EmbedOptions options = arguments.embed;
  options.stop = [stop = context.stop] { return stop->load(); };
  for (const std::string& weights : arguments.weights) {
    models.push_back(
        {embed_dataset(weights, gallery, arguments.gallery[0], *context.extensions, options, group),
         embed_dataset(weights, queries, arguments.queries[0], *context.extensions, options, group),
         agreed(group, [&] { return read_pair_scores(weights); })});
  }
  if (!arguments.keep_features.empty()) {
    on_first_rank(group, [&] {
      const std::filesystem::path folder = arguments.keep_features;
      std::filesystem::create_directories(folder);
      for (size_t m = 0; m < models.size(); ++m) {
        write_features(folder / fmt::format("gallery-{}.h5", m + 1), models[m].gallery);
        write_features(folder / fmt::format("queries-{}.h5", m + 1), models[m].queries);
      }
    });
  }
  return models;
}

MatchOptions options_of(const MatchArguments& arguments) {
  MatchOptions options = arguments.options;
  options.score.kind = identity_score_from_name(arguments.score);
  options.score.renormalise = !arguments.keep_length;
  if (arguments.rerank) options.rerank = arguments.rerank_options;
  if (arguments.classify) options.classifier.emplace();
  if (arguments.newcomers) {
    options.newcomers = arguments.newcomer_options;
    options.newcomers->light_gbm = arguments.light_gbm;
  }
  options.choose_map = arguments.map == "auto";
  if (!options.choose_map) options.map.map = distance_map_from_name(arguments.map);
  if (arguments.threshold == "auto") return options;
  const bool share = arguments.threshold.starts_with("share=");
  const std::string text = share ? arguments.threshold.substr(6) : arguments.threshold;
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value) ||
      (share && (value < 0 || value > 1))) {
    throw Error(ErrorKind::kUsage, fmt::format("'{}' is no threshold", arguments.threshold),
                "auto, a number, or share=0.3 for 30 % of the queries");
  }
  options.threshold = share ? 0.0 : value;
  if (share) options.share_unknown = value;
  return options;
}

std::function<std::string(const std::string&)> thumbnails(
    std::shared_ptr<const PackedDataset> dataset) {
  if (!dataset) return {};
  return [dataset](const std::string& id) {
    const int64_t row = dataset->row_of(id);
    if (row < 0) return std::string();
    std::vector<uint8_t> scratch;
    return thumbnail_jpeg(dataset->image(row, kThumbnailPx, scratch), kThumbnailPx);
  };
}

void print_summary(const MatchResult& result, const MatchOptions& options, double seconds) {
  std::printf("%zu queries, %zu gallery images: %.1f s\n", result.query_ids.size(),
              result.gallery_ids.size(), seconds);
  if (result.num_own > 0) {
    std::printf("%lld queries are gallery images: each is compared with all others\n",
                static_cast<long long>(result.num_own));
  }
  if (result.weights.size() > 1) {
    for (size_t m = 0; m < result.weights.size(); ++m)
      std::printf("weight of %s %zu: %.3f\n",
                  options.classifier && m + 1 == result.weights.size() ? "classifier" : "model",
                  m + 1, result.weights[m]);
  }
  if (!options.unknown.empty())
    std::printf("below %.4f: %s\n", result.threshold, options.unknown.c_str());
  for (const auto& [learner, auc] : result.newcomer_auc)
    std::printf("unknown or not, by %-9s ROC-AUC %.4f on the gallery\n", learner.c_str(), auc);
  if (!result.newcomers_missing.empty())
    std::printf("without LightGBM: %s\n", result.newcomers_missing.c_str());
  if (result.validation) {
    std::printf("validation on the gallery: answers are worth %.4f (distances: %s)\n",
                result.validation->score, name_of(result.map));
  }
  if (result.mean_reciprocal_place) {
    std::printf("truth is known: mAP@%lld %.4f, first answer right %.4f\n",
                static_cast<long long>(options.answers), *result.mean_reciprocal_place,
                *result.first_right);
  }
}

int run_match(const MatchArguments& arguments, VerbContext& context) {
  OneRank alone;
  const std::shared_ptr<Communicator> world = context.mpi ? context.mpi->world() : nullptr;
  Communicator& group = world ? *world : alone;
  const Stopwatch watch;
  const std::vector<MatchModel> models = load_models(arguments, context, group);
  on_first_rank(group, [&] {
    const auto gallery = open_images(arguments.gallery, arguments.gallery_images);
    const auto queries = open_images(arguments.queries, arguments.query_images);
    const MatchNames names{names_of(arguments.identities, gallery.get()),
                           names_of(arguments.truth, queries.get())};
    const MatchOptions options = options_of(arguments);
    const MatchResult result = match(models, names, options);
    write_file_atomically(arguments.output, answers_csv(result, arguments.separator));
    if (!arguments.page.empty()) {
      MatchPageOptions page{arguments.title,     arguments.page_queries, thumbnails(queries),
                            thumbnails(gallery), names.queries,          options.unknown};
      write_file_atomically(arguments.page, match_page(result, page));
    }
    print_summary(result, options, watch.elapsed_s());
    std::printf("answers in %s%s%s\n", arguments.output.c_str(),
                arguments.page.empty() ? "" : ", page in ", arguments.page.c_str());
  });
  return 0;
}

void declare(CLI::App& app, MatchArguments& a) {
  const auto text = [&](const char* name, std::string& value, const char* help, const char* kind) {
    return app.add_option(name, value, help)->option_text(kind);
  };
  const auto number = [&](const char* name, auto& value, const char* help) {
    return app.add_option(name, value, help)->option_text("N");
  };
  app.add_option("--gallery", a.gallery,
                 "known images: a packed dataset (with --weights), or a table of features (.h5, "
                 ".safetensors, .csv), once per model")
      ->required()
      ->option_text("PATH");
  app.add_option("--queries", a.queries, "images that ask who they show; likewise")
      ->required()
      ->option_text("PATH");
  app.add_option("--weights", a.weights,
                 "compute the features with this network, in parallel over the ranks; as `baleen "
                 "export` writes it; may be repeated: models are fused")
      ->option_text("FILE");
  text("--keep-features", a.keep_features,
       "write the features that --weights made into this folder, as tables for other searches",
       "DIR");
  text("--identities", a.identities,
       "CSV with columns Image,Id: who the gallery images show; default: the classes of the packed "
       "gallery",
       "FILE");
  text("--truth", a.truth, "the same of the queries, where it is known: answers are judged",
       "FILE");
  text("--gallery-images", a.gallery_images, "packed dataset with pictures for the page", "DIR");
  text("--query-images", a.query_images, "likewise", "DIR");
  text("--output", a.output, "answers, one line per query; default: matches.csv", "FILE");
  text("--page", a.page, "HTML page that shows queries and matches side by side", "FILE");
  text("--title", a.title, "of the page", "TEXT");
  number("--page-queries", a.page_queries,
         "queries on the page at most, the least certain; default: 200")
      ->check(CLI::Range(1, 100000));
  text("--separator", a.separator, "between names in the answers; default: a space", "TEXT");
  number("--answers", a.options.answers, "names per query; default: 5")->check(CLI::Range(1, 1000));
  text("--score", a.score,
       "of an individual: max over its images (default), mean (of its features), top_mean (of its "
       "best images)",
       "NAME");
  number("--top", a.options.score.top, "images for top_mean; default: 3")
      ->check(CLI::Range(1, 1000));
  app.add_flag(
      "--keep-length", a.keep_length,
      "mean: leave the mean as long as it is; individuals whose images differ score lower");
  text(
      "--map", a.map,
      "how distances become scores: logarithmic (default), reciprocal, softmax, student, gaussian, "
      "none, or auto: what is worth most on the gallery",
      "NAME");
  text("--unknown", a.options.unknown,
       "name for individuals that are not in the gallery, e.g. new_whale; default: there are none",
       "NAME");
  text("--threshold", a.threshold,
       "score below which a query is unknown: a number, share=X (so many of the queries), or auto "
       "(default): chosen on the gallery",
       "X");
  app.add_flag(
      "--newcomers", a.newcomers,
      "judge by logistic regression, SVM, nearest neighbours and LightGBM over all models' "
      "scores, too, whether a query is unknown");
  text("--light-gbm", a.light_gbm,
       "lib_lightgbm.so of the PyPI package; default: where the system finds it", "FILE");
  app.add_flag("--rerank", a.rerank, "re-rank images by common neighbours (k-reciprocal)");
  number("--rerank-neighbours", a.rerank_options.neighbours, "k1; default: 20")
      ->check(CLI::Range(1, 10000));
  number("--rerank-expansion", a.rerank_options.expansion, "k2; default: 6")
      ->check(CLI::Range(1, 10000));
  number("--rerank-weight", a.rerank_options.distance_weight,
         "of the original distance; default: 0.3")
      ->check(CLI::Range(0.0, 1.0));
  number("--chunk", a.embed.chunk, "images per forward pass; default: 64")
      ->check(CLI::Range(1, 65536));
  number("--threads", a.embed.threads, "that read images, per rank; default: 1")
      ->check(CLI::Range(0, 1024));
  text("--device", a.embed.device, "cpu, cuda or auto (default)", "NAME");
}

}  // namespace

Verb make_match_verb() {
  Verb verb;
  verb.name = "match";
  verb.summary = "say which known individuals images show, by their features";
  verb.examples =
      "  mpirun -n 4 baleen match --weights whale.safetensors --gallery packed/known --queries "
      "packed/new \\\n"
      "      --unknown new_whale --page matches.html\n"
      "  baleen match --gallery known.h5 --queries new.h5 --identities train.csv\n"
      "  baleen match --weights w.safetensors --gallery packed/lions --queries packed/lions\n"
      "                                                     each image against all others";
  verb.shares_work = true;
  auto arguments = std::make_shared<MatchArguments>();
  verb.declare_options = [arguments](CLI::App& app) { declare(app, *arguments); };
  verb.run = [arguments](VerbContext& context) { return run_match(*arguments, context); };
  return verb;
}

}  // namespace baleen
