#include "core/config/document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/config/decode.h"
#include "core/config/encode.h"
#include "tests/support/temporary_directory.h"

namespace baleen {

struct InnerOptions {
  int64_t count = 1;
  std::string kind = "a";
};
template <class Visitor>
void visit_fields(Visitor& v, InnerOptions& o) {
  v.field("count", o.count, "how many", config::at_least(1));
  v.field("kind", o.kind, "which");
}
struct OuterOptions {
  std::string name = "none";
  InnerOptions inner;
  std::vector<InnerOptions> stages;
  std::vector<int64_t> sizes;
};
template <class Visitor>
void visit_fields(Visitor& v, OuterOptions& o) {
  v.field("name", o.name, "name");
  v.field("inner", o.inner, "inner");
  v.field("stages", o.stages, "stages");
  v.field("sizes", o.sizes, "sizes");
}

namespace {

using ::testing::HasSubstr;

class DocumentTest : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((directory_ / name).parent_path());
    write_file_atomically(directory_ / name, text);
  }
  config::Document load(const std::string& name) {
    return config::Document::load(directory_ / name);
  }
  OuterOptions decode(const std::string& name) { return config::decode<OuterOptions>(load(name)); }
  template <class Action>
  std::string message_of(Action action, ErrorKind kind = ErrorKind::kConfiguration) {
    try {
      action();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind);
      return error.message();
    }
    return "no error";
  }
  std::string path(const std::string& name) { return (directory_ / name).string(); }

  testing::TemporaryDirectory directory_;
};

TEST_F(DocumentTest, MapsMergeListsAreReplaced) {
  write("base/common.yaml", "name: base\ninner: {count: 2, kind: x}\nsizes: [1, 2, 3]\n");
  write("recipe.yaml", "_base_: base/common.yaml\ninner: {count: 5}\nsizes: [9]\n");
  const OuterOptions options = decode("recipe.yaml");
  EXPECT_EQ(options.name, "base");
  EXPECT_EQ(options.inner.count, 5);
  EXPECT_EQ(options.inner.kind, "x");
  EXPECT_EQ(options.sizes, std::vector<int64_t>{9});
}

TEST_F(DocumentTest, LaterBasesWinAndBasesHaveBases) {
  write("a.yaml", "name: a\ninner: {count: 1, kind: a}\n");
  write("sub/b.yaml", "_base_: ../a.yaml\ninner: {kind: b}\n");
  write("c.yaml", "inner: {count: 3}\n");
  write("recipe.yaml", "_base_: [sub/b.yaml, c.yaml]\n");
  const OuterOptions options = decode("recipe.yaml");
  EXPECT_EQ(options.name, "a");
  EXPECT_EQ(options.inner.kind, "b");
  EXPECT_EQ(options.inner.count, 3);
}

TEST_F(DocumentTest, DeleteReplacesWhatTheBaseHas) {
  write("a.yaml", "inner: {count: 7, kind: a}\n");
  write("recipe.yaml", "_base_: a.yaml\ninner: {_delete_: true, kind: z}\n");
  const OuterOptions options = decode("recipe.yaml");
  EXPECT_EQ(options.inner.kind, "z");
  EXPECT_EQ(options.inner.count, 1);
}

TEST_F(DocumentTest, DeleteWithoutABaseIsHarmlessAndChecked) {
  const auto document = config::Document::parse("stages: [{_delete_: false, count: 2}]", "t");
  EXPECT_EQ(config::decode<OuterOptions>(document).stages[0].count, 2);
  EXPECT_THAT(message_of([] {
                config::decode<OuterOptions>(config::Document::parse("inner: {_delete_: 1}", "t"));
              }),
              HasSubstr("t:1:19: _delete_ expects true or false, found the number 1"));
}

TEST_F(DocumentTest, MistakesKeepTheFileTheyAreIn) {
  write("a.yaml", "name: a\n\ninner:\n  cuont: 7\n");
  write("recipe.yaml", "_base_: a.yaml\nsizes: [1, x]\n");
  const std::string message = message_of([this] { decode("recipe.yaml"); });
  EXPECT_THAT(message, HasSubstr(path("a.yaml") +
                                 ":4:3: unknown key 'cuont' in inner; did you mean 'count'?"));
  EXPECT_THAT(message, HasSubstr(path("recipe.yaml") + ":2:12: sizes.1 expects a whole number"));
}

TEST_F(DocumentTest, CirclesAndMissingBasesAreReported) {
  write("a.yaml", "_base_: b.yaml\n");
  write("b.yaml", "name: b\n_base_: a.yaml\n");
  EXPECT_THAT(message_of([this] { load("a.yaml"); }),
              HasSubstr(path("b.yaml") + ":2:9: _base_ leads back to"));
  write("self.yaml", "_base_: ./self.yaml\n");
  EXPECT_THAT(message_of([this] { load("self.yaml"); }), HasSubstr("leads back to"));
  write("m.yaml", "_base_: [a1.yaml]\n");
  EXPECT_THAT(message_of([this] { load("m.yaml"); }),
              HasSubstr(":1:10: there is no file " + path("a1.yaml")));
  write("n.yaml", "_base_: {a: b}\n");
  EXPECT_THAT(message_of([this] { load("n.yaml"); }), HasSubstr("found a map"));
  EXPECT_THAT(message_of([this] { load("none.yaml"); }), HasSubstr("there is no file"));
  write("list.yaml", "- 1\n");
  write("o.yaml", "_base_: list.yaml\n");
  EXPECT_THAT(message_of([this] { load("o.yaml"); }), HasSubstr("must hold a map, found a list"));
}

TEST_F(DocumentTest, ADiamondOfBasesIsNoCircle) {
  write("root.yaml", "name: root\n");
  write("l.yaml", "_base_: root.yaml\n");
  write("r.yaml", "_base_: root.yaml\n");
  write("recipe.yaml", "_base_: [l.yaml, r.yaml]\n");
  EXPECT_EQ(decode("recipe.yaml").name, "root");
}

OuterOptions with(const std::string& text, const std::vector<std::string>& assignments) {
  config::Document document = config::Document::parse(text, "t");
  for (const std::string& assignment : assignments) document.set(assignment);
  return config::decode<OuterOptions>(document);
}

TEST_F(DocumentTest, SetReachesKeysListsAndThingsNotThereYet) {
  const std::string text = "stages:\n  - {count: 1}\n  - {count: 2, kind: k}\ninner:\n";
  const OuterOptions options = with(text, {"stages.1.count=20", "inner.count=4", "sizes=[7, 8]",
                                           "name=a=b", "stages.0={kind: q}"});
  EXPECT_EQ(options.stages[1].count, 20);
  EXPECT_EQ(options.stages[1].kind, "k");
  EXPECT_EQ(options.stages[0].kind, "q");
  EXPECT_EQ(options.stages[0].count, 1);
  EXPECT_EQ(options.inner.count, 4);
  EXPECT_EQ(options.sizes, (std::vector<int64_t>{7, 8}));
  EXPECT_EQ(options.name, "a=b");
  EXPECT_EQ(with("", {"inner.kind=z"}).inner.kind, "z");
  EXPECT_EQ(with("inner: {count: 9, kind: u}", {"inner={_delete_: true, kind: z}"}).inner.count, 1);
}

TEST_F(DocumentTest, SetProblemsCarryTheAssignment) {
  const std::string text = "name: n\nstages: [{count: 1}]\n";
  EXPECT_THAT(message_of([&] { with(text, {"inner.cout=3"}); }),
              HasSubstr("\n--set inner.cout: unknown key 'cout' in inner; did you mean 'count'?"));
  EXPECT_THAT(message_of([&] { with(text, {"stages.0.count=0"}); }),
              HasSubstr("\n--set stages.0.count: stages.0.count must be at least 1, found 0"));
  EXPECT_THAT(message_of([&] { with(text, {"stages.3.count=2"}); }),
              HasSubstr("'stages' is a list of 1 (indices from 0), it has no element '3'"));
  EXPECT_THAT(message_of([&] { with(text, {"name.x=2"}); }),
              HasSubstr("--set name.x: 'name' is the text 'n', it has no key 'x'"));
  EXPECT_THAT(message_of([&] { with(text, {"sizes=[1"}); }), HasSubstr("--set sizes"));
  for (const char* wrong : {"name", "=3", ".a=1", "a..b=1", "a.=1"}) {
    EXPECT_THAT(message_of([&] { with(text, {wrong}); }, ErrorKind::kUsage),
                HasSubstr("expects key=value"))
        << wrong;
  }
}

TEST_F(DocumentTest, SeveralWrongSetsAreReportedTogether) {
  const std::string message = message_of([&] {
    with("", {"nam=1", "inner.count=x", "siezs=[1]"});
  });
  EXPECT_THAT(message, HasSubstr("3 problems"));
}

TEST(NearestTest, DistancesCountSwapsOnce) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("abc", ""), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("cuont", "count"), 1);
  EXPECT_EQ(edit_distance("Epochs", "epochs"), 0);
  EXPECT_EQ(edit_distance("ca", "abc"), 3);  // optimal string alignment, not unrestricted Damerau
}

TEST(NearestTest, SuggestsOnlyWhatIsNear) {
  const std::vector<std::string> names = {"resnet18", "resnet34", "simplenet"};
  EXPECT_EQ(nearest_name("resnet81", names), "resnet18");
  EXPECT_EQ(nearest_name("simplnet", names), "simplenet");
  EXPECT_EQ(nearest_name("vgg", names), "");
  EXPECT_EQ(suggestion("vgg", names), "known: resnet18, resnet34, simplenet");
  EXPECT_EQ(suggestion("x", {}), "");
  EXPECT_EQ(nearest_name("lr", std::vector<std::string>{"tz"}), "");
}

}  // namespace
}  // namespace baleen
