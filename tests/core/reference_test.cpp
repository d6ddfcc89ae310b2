#include "core/config/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baleen {

struct LeafOptions {
  double lr = 0.1;
};
template <class Visitor>
void visit_fields(Visitor& v, LeafOptions& o) {
  v.field("lr", o.lr, "learning rate", config::between(0, 10));
}
struct TreeOptions {
  std::string kind = "a|b";
  int64_t count = 3;
  LeafOptions leaf{.lr = 0.5};
  std::vector<LeafOptions> stages;
  std::map<std::string, LeafOptions> named;
  std::optional<std::vector<std::string>> labels;
  std::string name;
};
template <class Visitor>
void visit_fields(Visitor& v, TreeOptions& o) {
  v.field("kind", o.kind, "which | one", config::one_of({"x", "y"}));
  v.field("count", o.count, "how many", config::at_least(2));
  v.field("leaf", o.leaf, "one leaf");
  v.field("stages", o.stages, "many leaves");
  v.field("named", o.named, "leaves by name");
  v.field("labels", o.labels, "which labels");
  v.field("name", o.name, "a name", config::required());
}

namespace {

using ::testing::HasSubstr;

TEST(ReferenceTest, DescribesEveryKeyInOrder) {
  std::vector<std::string> paths;
  for (const auto& field : config::describe_fields<TreeOptions>()) paths.push_back(field.path);
  EXPECT_EQ(paths,
            (std::vector<std::string>{"kind", "count", "leaf", "leaf.lr", "stages", "stages[].lr",
                                      "named", "named.<name>.lr", "labels", "name"}));
}

TEST(ReferenceTest, RowsNameTypeDefaultRangeAndMeaning) {
  const std::string page = config::reference<TreeOptions>("Recipe", "All keys.");
  EXPECT_THAT(page, ::testing::StartsWith("# Recipe\n\nAll keys.\n\n## Top level\n"));
  EXPECT_THAT(page, HasSubstr("| `kind` | text | `\"a\\|b\"` | `x`, `y` | which \\| one |\n"));
  EXPECT_THAT(page, HasSubstr("| `count` | whole number | `3` | ≥ 2 | how many |\n"));
  EXPECT_THAT(page, HasSubstr("| `leaf` | map |  |  | one leaf |\n"));
  EXPECT_THAT(page, HasSubstr("\n## `leaf`\n"));
  EXPECT_THAT(page, HasSubstr("| `leaf.lr` | number | `0.5` | 0 to 10 | learning rate |\n"));
  EXPECT_THAT(page, HasSubstr("| `stages` | list of map | `[]` |  | many leaves |\n"));
  EXPECT_THAT(page, HasSubstr("| `stages[].lr` | number | `0.1` | 0 to 10 | learning rate |\n"));
  EXPECT_THAT(page, HasSubstr("| `named.<name>.lr` |"));
  EXPECT_THAT(page, HasSubstr("| `labels` | list of text, or nothing | `null` |"));
  EXPECT_THAT(page, HasSubstr("| `name` | text | **required** |  | a name |\n"));
}

}  // namespace
}  // namespace baleen
