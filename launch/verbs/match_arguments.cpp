#include "launch/verbs/match_arguments.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <charconv>
#include <cmath>

#include "core/base/error.h"

namespace baleen {
namespace {

double finite_number(const std::string& text, const std::string& what, const std::string& hint) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && std::isfinite(value))
    return value;
  throw Error(ErrorKind::kUsage, fmt::format("'{}' is no {}", text, what), hint);
}

void declare_key_points(CLI::App& app, MatchArguments& a) {
  app.add_option("--key-points", a.key_points,
                 "compare each query with the images of its best N individuals by matching key "
                 "points (RootSIFT); default: 0, don't")
      ->check(CLI::Range(0, 100000))
      ->option_text("N");
  app.add_option("--key-point-weight", a.key_point_weight,
                 "of ln(1 + matching points) in the score: a number, or auto (default): what is "
                 "worth most on the gallery")
      ->option_text("X");
  app.add_option("--key-points-per-image", a.local_features.most, "at most; default: 1000")
      ->check(CLI::Range(4, 1000000))
      ->option_text("N");
  app.add_option("--key-point-size", a.local_features.size_px,
                 "reduce images to so many pixels first; default: 0, as they are packed")
      ->check(CLI::Range(0, 100000))
      ->option_text("PX");
  app.add_option("--key-point-ratio", a.local_match.ratio,
                 "nearest to second nearest descriptor, at most; default: 0.8")
      ->check(CLI::Range(0.01, 1.0))
      ->option_text("X");
  app.add_flag("--key-point-mutual", a.local_match.mutual,
               "count points only that are nearest to each other");
  app.add_option("--key-point-tolerance", a.local_match.reprojection_px,
                 "how far a point may lie from where the homography puts it; default: 5")
      ->check(CLI::Range(0.1, 1000.0))
      ->option_text("PX");
  app.add_option("--key-point-cache", a.key_point_cache,
                 "folder that keeps the key points of every image for other searches")
      ->option_text("DIR");
  app.add_option(
         "--gallery-masks", a.gallery_masks,
         "folder with a mask per gallery image, <id>.png: key points lie in its bright part")
      ->option_text("DIR");
  app.add_option("--query-masks", a.query_masks, "likewise")->option_text("DIR");
}

}  // namespace

MatchOptions match_options(const MatchArguments& arguments) {
  MatchOptions options = arguments.options;
  options.score.kind = identity_score_from_name(arguments.score);
  options.score.renormalise = !arguments.keep_length;
  if (arguments.rerank) options.rerank = arguments.rerank_options;
  if (arguments.classify) options.classifier.emplace();
  if (arguments.newcomers) {
    options.newcomers = arguments.newcomer_options;
    options.newcomers->light_gbm = arguments.light_gbm;
  }
  if (arguments.key_points > 0) {
    options.key_points.emplace().candidates = arguments.key_points;
    if (arguments.key_point_weight != "auto")
      options.key_points->weight =
          finite_number(arguments.key_point_weight, "weight", "auto, or a number");
  }
  options.choose_map = arguments.map == "auto";
  if (!options.choose_map) options.map.map = distance_map_from_name(arguments.map);
  if (!arguments.pseudo_labels.empty() && options.answers < 2) {
    throw Error(ErrorKind::kUsage,
                "one answer per query does not tell whether another individual is as likely",
                "raise --answers to 3 or more");
  }
  if (arguments.threshold == "auto") return options;
  const bool share = arguments.threshold.starts_with("share=");
  const char* hint = "auto, a number, or share=0.3 for 30 % of the queries";
  const double value =
      finite_number(share ? arguments.threshold.substr(6) : arguments.threshold, "threshold", hint);
  if (share && (value < 0 || value > 1)) {
    throw Error(ErrorKind::kUsage, fmt::format("'{}' is no threshold", arguments.threshold), hint);
  }
  options.threshold = share ? 0.0 : value;
  if (share) options.share_unknown = value;
  return options;
}

void declare_match_options(CLI::App& app, MatchArguments& a) {
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
  text(
      "--pseudo-labels", a.pseudo_labels,
      "write a list of queries with the one individual that scores above --certain, for `extra` of "
      "a recipe (docs/training-on-top.md)",
      "FILE");
  number("--certain", a.certain, "score that exactly one individual exceeds; default: 0.999999");
  text("--page", a.page, "HTML page that shows queries and matches side by side", "FILE");
  text("--title", a.title, "of the page", "TEXT");
  number("--page-queries", a.page_queries,
         "queries on the page at most, the least certain; default: 200")
      ->check(CLI::Range(1, 100000));
  text(
      "--nearest", a.nearest,
      "CSV file with the nearest gallery images of each query, searched in parallel over the ranks",
      "FILE");
  number("--nearest-images", a.nearest_count, "per query in it; default: 5")
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
  app.add_flag("--classify", a.classify,
               "a classifier, trained on the gallery's features, joins as one more model");
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
  declare_key_points(app, a);
  number("--chunk", a.embed.chunk, "images per forward pass; default: 64")
      ->check(CLI::Range(1, 65536));
  number("--threads", a.embed.threads,
         "that read images and compare key points, per rank; default: 1")
      ->check(CLI::Range(0, 1024));
  text("--device", a.embed.device, "cpu, cuda or auto (default)", "NAME");
}

}  // namespace baleen
