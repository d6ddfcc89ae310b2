#include "experiments/gallery/match.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "core/base/error.h"
#include "core/weights/safetensors.h"
#include "data/prediction_table.h"
#include "experiments/gallery/match_page.h"
#include "tests/experiments/herd.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::HasSubstr;
using testing::Herd;
using testing::make_herd;

TEST(MatchTest, FindsIndividualsAndStrangers) {
  const Herd herd = make_herd(40, 8, 0.5, 1);
  for (const char* score : {"max", "mean", "top_mean"}) {
    MatchOptions options;
    options.score.kind = identity_score_from_name(score);
    options.unknown = "new_whale";
    const MatchResult result = match({{herd.gallery, herd.queries}}, herd.names, options);
    EXPECT_GT(*result.mean_reciprocal_place, 0.95) << score;
    ASSERT_TRUE(result.validation.has_value());
    EXPECT_GT(result.validation->score, 0.9) << score;
    for (const auto& answers : result.answers) {
      EXPECT_EQ(answers.size(), 5u);
      for (const MatchAnswer& answer : answers) {
        EXPECT_EQ(answer.name == "new_whale", answer.image < 0);
        if (answer.image >= 0) {
          EXPECT_EQ(result.gallery_names[static_cast<size_t>(answer.image)], answer.name);
        }
      }
    }
  }
}

TEST(MatchTest, ASiameseNetworksHeadScoresPairs) {
  Herd herd = make_herd(12, 0, 3.0, 9);
  at::manual_seed(1);
  SymmetricHead head(32);
  MatchOptions options;
  const MatchResult result =
      match({{herd.gallery, herd.queries, std::make_shared<const PairScores>(head)}}, herd.names,
            options);
  const at::NoGradGuard no_grad;
  const int64_t num_gallery = herd.gallery.size();
  int64_t differs = 0;
  for (int64_t q = 0; q < herd.queries.size(); ++q) {
    const at::Tensor logits =
        head.forward(herd.queries.features_ND.narrow(0, q, 1).expand({num_gallery, 32}),
                     herd.gallery.features_ND);
    const auto best = logits.argmax().item<int64_t>();
    const MatchAnswer& first = result.answers[static_cast<size_t>(q)].front();
    EXPECT_EQ(first.name, herd.names.gallery.at(herd.gallery.ids[static_cast<size_t>(best)])) << q;
    EXPECT_EQ(first.image, best);
    const double distance = 1 / (1 + std::exp(logits[best].item<double>()));
    EXPECT_NEAR(first.score, 1 / (1 + std::log(1 + std::log(1 + distance))), 1e-5);
    const at::Tensor cosines =
        at::mv(unit_rows(herd.gallery.features_ND), unit_rows(herd.queries.features_ND)[q]);
    differs += cosines.argmax().item<int64_t>() != best;
  }
  EXPECT_GT(differs, 0) << "by angle the answers would be the same";
  // Each image against all others.
  herd.names.queries = herd.names.gallery;
  for (const char* score : {"max", "mean", "top_mean"}) {
    options.score.kind = identity_score_from_name(score);
    const MatchResult own =
        match({{herd.gallery, herd.gallery, std::make_shared<const PairScores>(head)}}, herd.names,
              options);
    EXPECT_EQ(own.num_own, num_gallery);
    for (int64_t q = 0; q < num_gallery; ++q)
      for (const MatchAnswer& answer : own.answers[static_cast<size_t>(q)])
        EXPECT_NE(answer.image, q) << score;
  }
  options.score.kind = IdentityScore::kMax;
  options.rerank.emplace();
  EXPECT_THROW(match({{herd.gallery, herd.queries, std::make_shared<const PairScores>(head)}},
                     herd.names, options),
               Error);
}

TEST(MatchTest, RerankingAndEveryMapWork) {
  const Herd herd = make_herd(20, 4, 0.8, 2);
  MatchOptions options;
  options.unknown = "new";
  options.rerank = RerankOptions{.neighbours = 4, .expansion = 2};
  EXPECT_GT(*match({{herd.gallery, herd.queries}}, herd.names, options).mean_reciprocal_place, 0.9);
  options.score.kind = IdentityScore::kMean;
  EXPECT_THROW(match({{herd.gallery, herd.queries}}, herd.names, options), Error);
  options.score.kind = IdentityScore::kMax;
  options.rerank.reset();
  options.choose_map = true;
  const MatchResult chosen = match({{herd.gallery, herd.queries}}, herd.names, options);
  options.choose_map = false;
  options.map.map = chosen.map;
  EXPECT_EQ(match({{herd.gallery, herd.queries}}, herd.names, options).validation->score,
            chosen.validation->score);
}

TEST(MatchTest, TwoModelsAreWeighedByPlainDistancesToo) {
  // In validation some individuals are not there: their scores are minus infinity.
  const Herd one = make_herd(20, 4, 1.0, 5);
  Herd other = one;
  other.gallery.features_ND = one.gallery.features_ND + at::randn_like(one.gallery.features_ND);
  MatchOptions options;
  options.unknown = "new";
  options.map.map = DistanceMap::kNone;
  const MatchResult result =
      match({{one.gallery, one.queries}, {other.gallery, other.queries}}, one.names, options);
  EXPECT_TRUE(std::isfinite(result.threshold));
  EXPECT_GT(*result.mean_reciprocal_place, 0.8);
}

/// The first images of individuals, one each.
FeatureTable single_images(const FeatureTable& gallery) {
  std::vector<std::string> first;
  for (int64_t row = 0; row < gallery.size(); row += 3)
    first.push_back(gallery.ids[static_cast<size_t>(row)]);
  return gallery.select(first);
}

TEST(MatchTest, SingleImagesShowNoThresholdAndNoWeights) {
  Herd herd = make_herd(20, 4, 0.5, 6);
  herd.gallery = single_images(herd.gallery);
  MatchOptions options;
  options.unknown = "new";
  try {
    match({{herd.gallery, herd.queries}}, herd.names, options);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("two images"));
    EXPECT_THAT(error.hint(), HasSubstr("--threshold"));
  }
  options.unknown.clear();
  const MatchModel model{herd.gallery, herd.queries};
  EXPECT_EQ(match({model, model}, herd.names, options).weights, (std::vector<double>{0.5, 0.5}));
}

TEST(MatchTest, AnIndividualsOnlyImageAsksForAStranger) {
  Herd herd = make_herd(20, 0, 0.5, 7);
  herd.gallery = single_images(herd.gallery);
  herd.names.queries = herd.names.gallery;
  MatchOptions options;
  options.unknown = "new";
  options.threshold = 2.0;  // nobody is known
  const MatchResult result = match({{herd.gallery, herd.gallery}}, herd.names, options);
  EXPECT_EQ(result.num_own, 20);
  EXPECT_EQ(*result.first_right, 1.0);
  EXPECT_EQ(result.right_names, std::vector<std::string>(20, "new"));
}

TEST(MatchTest, ANameForStrangersIsNoIndividuals) {
  const Herd herd = make_herd(10, 0, 0.5, 8);
  MatchOptions options;
  options.unknown = "w_003";
  EXPECT_THROW(match({{herd.gallery, herd.queries}}, herd.names, options), Error);
}

TEST(MatchTest, AWeakModelGetsLittleWeight) {
  const Herd good = make_herd(30, 6, 1.5, 3);
  Herd weak = good;
  weak.gallery.features_ND = at::randn_like(weak.gallery.features_ND);
  weak.queries.features_ND = at::randn_like(weak.queries.features_ND);
  // Rows of the second model come in another order.
  std::reverse(weak.gallery.ids.begin(), weak.gallery.ids.end());
  const MatchResult result =
      match({{good.gallery, good.queries}, {weak.gallery, weak.queries}}, good.names, {});
  EXPECT_GT(result.weights[0], 0.55);
}

TEST(MatchTest, AClassifierJoinsAndLearnersJudgeStrangers) {
  const Herd herd = make_herd(60, 15, 0.9, 6);
  MatchOptions options;
  options.unknown = "new";
  const double plain =
      *match({{herd.gallery, herd.queries}}, herd.names, options).mean_reciprocal_place;
  options.classifier = FeatureClassifierOptions{.hidden = 64, .epochs = 20};
  options.newcomers = NewcomerOptions{.with_light_gbm = false};
  const MatchResult result = match({{herd.gallery, herd.queries}}, herd.names, options);
  EXPECT_EQ(result.weights.size(), 2u);
  EXPECT_GT(result.newcomer_auc.at("blend"), 0.75);
  EXPECT_GE(result.newcomer_weight, 0.0);
  EXPECT_GT(*result.mean_reciprocal_place, plain - 0.05);
  // Queries that the classifier was trained on, and a threshold that is given, contradict them.
  EXPECT_THROW(match({{herd.gallery, herd.gallery}}, herd.names, options), Error);
  options.classifier.reset();
  options.threshold = 0.5;
  EXPECT_THROW(match({{herd.gallery, herd.queries}}, herd.names, options), Error);
}

TEST(MatchTest, AQueryIsNotMatchedWithItself) {
  const Herd herd = make_herd(10, 0, 0.5, 4);
  MatchNames names = herd.names;
  names.queries = names.gallery;
  const MatchResult result = match({{herd.gallery, herd.gallery}}, names, {});
  EXPECT_EQ(result.num_own, 30);
  EXPECT_EQ(*result.first_right, 1.0);
  for (size_t q = 0; q < 30; ++q) {
    for (const MatchAnswer& answer : result.answers[q]) {
      EXPECT_NE(answer.image, static_cast<int64_t>(q));
    }
  }
  // The same ids with other features are other images.
  FeatureTable others = herd.gallery;
  others.features_ND = others.features_ND + 0.01;
  EXPECT_EQ(match({{herd.gallery, others}}, names, {}).num_own, 0);
  // Everybody with one image: nobody can be right, and nothing fails.
  FeatureTable one = herd.gallery;
  one.ids.clear();
  MatchNames singles;
  for (int64_t id = 0; id < 10; ++id) {
    one.ids.push_back(fmt::format("image{}", id));
    singles.gallery[one.ids.back()] = fmt::format("w{}", id);
  }
  one.features_ND = herd.gallery.features_ND.narrow(0, 0, 10);
  singles.queries = singles.gallery;
  const MatchResult nobody = match({{one, one}}, singles, {});
  EXPECT_EQ(*nobody.first_right, 0.0);
  EXPECT_EQ(nobody.answers[0].size(), 5u);
  MatchOptions open;
  open.unknown = "new";
  open.threshold = 0.5;
  EXPECT_EQ(match({{one, one}}, singles, open).answers[0].size(), 5u);
}

template <class Action>
std::string message_of(const Action& action, ErrorKind kind) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  return "no error";
}

TEST(MatchTest, ErrorsNameWhatIsMissing) {
  Herd herd = make_herd(5, 0, 0.5, 5);
  herd.names.gallery.erase(herd.gallery.ids[3]);
  const auto run = [&](const MatchOptions& options) {
    return [&herd, options] { match({{herd.gallery, herd.queries}}, herd.names, options); };
  };
  EXPECT_THAT(message_of(run({}), ErrorKind::kData), HasSubstr(herd.gallery.ids[3]));
  herd = make_herd(5, 0, 0.5, 5);
  herd.queries.features_ND = herd.queries.features_ND.narrow(1, 0, 31);
  EXPECT_THAT(message_of(run({}), ErrorKind::kData), HasSubstr("31"));
  herd = make_herd(1, 0, 0.5, 5);
  MatchOptions open;
  open.unknown = "new";
  EXPECT_THAT(message_of(run(open), ErrorKind::kData), HasSubstr("one individual"));
  // One individual has all the images: with a threshold that is given, it is always known.
  open.threshold = 0.1;
  EXPECT_EQ(match({{herd.gallery, herd.queries}}, herd.names, open).answers[0].front().name,
            "w_000");
}

TEST(AnswersTest, AreSeparatedNames) {
  MatchResult result;
  result.query_ids = {"a,1", "b"};
  result.answers = {{{"x", 1, 0}, {"y z", 1, 0}}, {{"y z", 1, 0}}};
  EXPECT_EQ(answers_csv(result, ";"), "Image,Id\n\"a,1\",x;y z\nb,y z\n");
  EXPECT_THAT(message_of([&] { answers_csv(result, " "); }, ErrorKind::kUsage), HasSubstr("y z"));
}

TEST(FeatureTableTest, ReadsAllKinds) {
  const testing::TemporaryDirectory folder;
  const at::Tensor features = at::tensor({1.5, -2.0, 0.25, 4.0}, at::kFloat).view({2, 2});
  const std::vector<std::string> ids = {"b", "a"};
  PredictionTable table("model", ids, 2);
  table.add(ids, features);
  table.write(folder / "f.h5");
  write_safetensors(folder / "f.safetensors", {{"features", features}}, {{"ids", "[\"b\",\"a\"]"}});
  std::ofstream(folder / "f.csv") << "id,x,y\nb,1.5,-2\na,0.25,4e0\n";
  for (const char* name : {"f.h5", "f.safetensors", "f.csv"}) {
    const FeatureTable read = read_features(folder / name);
    EXPECT_EQ(read.ids, ids) << name;
    EXPECT_TRUE(at::equal(read.features_ND, features)) << name;
  }
}

TEST(FeatureTableTest, BadTablesAreNamed) {
  const testing::TemporaryDirectory folder;
  const auto message = [&](const std::string& content, ErrorKind kind) {
    std::ofstream(folder / "bad.csv") << content;
    return message_of([&] { read_features(folder / "bad.csv"); }, kind);
  };
  EXPECT_THAT(message("id,x\na,1\nb,nan\n", ErrorKind::kNumeric), HasSubstr("'b'"));
  EXPECT_THAT(message("id,x\na,1\nb,one\n", ErrorKind::kData), HasSubstr("bad.csv:3"));
  EXPECT_THAT(message("id,x\na,1\na,2\n", ErrorKind::kData), HasSubstr("twice"));
  EXPECT_THAT(message("id,x\n", ErrorKind::kData), HasSubstr("no features"));
  EXPECT_THAT(message("id\na\n", ErrorKind::kData), HasSubstr("no features"));
  EXPECT_THAT(message_of([&] { read_features(folder / "none.h5"); }, ErrorKind::kData),
              HasSubstr("none.h5"));
  EXPECT_THAT(message_of([&] { read_features(folder / "f.pth"); }, ErrorKind::kUsage),
              HasSubstr("f.pth"));
  write_safetensors(folder / "f.safetensors", {{"features", at::ones({2, 2})}}, {});
  EXPECT_THAT(message_of([&] { read_features(folder / "f.safetensors"); }, ErrorKind::kData),
              HasSubstr("f.safetensors"));
}

TEST(MatchPageTest, EscapesNamesAndShowsTheLeastCertainFirst) {
  MatchResult result;
  result.query_ids = {"sure", "un<sure>"};
  result.gallery_ids = {"g0", "val/g_1.png"};
  result.gallery_names = {"ann", "bob"};
  result.answers = {{{"ann", 0.9, 0}, {"bob", 0.1, 1}}, {{"bob", 0.6, 1}, {"ann", 0.59, 0}}};
  MatchPageOptions options;
  options.title = "A & B";
  options.max_queries = 1;
  options.truth = {{"un<sure>", "bob"}};
  result.right_names = {"", "bob"};
  options.query_image = [](const std::string&) { return std::string("\xff\xd8jpeg"); };
  const std::string page = match_page(result, options);
  EXPECT_THAT(page, HasSubstr("<title>A &amp; B · Baleen</title>"));
  EXPECT_THAT(page, HasSubstr("un&lt;sure&gt;"));
  EXPECT_THAT(page, HasSubstr("data:image/jpeg;base64,/9hqcGVn"));
  EXPECT_THAT(page, HasSubstr("val/<wbr>g_<wbr>1.png")) << "long names break at separators";
  EXPECT_THAT(page, HasSubstr("class=\"right\""));
  EXPECT_THAT(page, ::testing::Not(HasSubstr(">sure<")));
  EXPECT_THAT(page, ::testing::Not(HasSubstr("http:")));
  EXPECT_THAT(page, ::testing::Not(HasSubstr("https:")));
}

}  // namespace
}  // namespace baleen
