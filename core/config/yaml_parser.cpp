#include "core/config/yaml_parser.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <sstream>

namespace baleen::config {
namespace {

constexpr int64_t kMaxNodes = 100'000;

int64_t count_nodes(const Node& node) {
  int64_t count = 1;
  for (const Node& item : node.items) count += count_nodes(item);
  for (const Entry& entry : node.entries) count += count_nodes(entry.value);
  return count;
}

// Builds the tree from yaml-cpp's events. Its own YAML::Node would lose duplicate keys and the
// positions of keys.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const std::string& source, std::vector<Problem>& problems)
      : source_(source), problems_(problems) {}

  Node take_root() { return std::move(root_); }
  int64_t num_documents() const { return num_documents_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++num_documents_ > 1) fail(mark, "a second document ('---') starts here; only one is read");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node;
    node.position = position_of(mark);
    add(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) fail(mark, "this alias is part of what it names");
    Node copy = found->second;
    num_nodes_ += count_nodes(copy) - 1;
    add(std::move(copy), 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    // "?" marks a plain scalar, "!" a quoted one; anything else was written by the user.
    if (tag != "?" && tag != "!" && !tag.empty()) refuse_tag(mark, tag);
    Node node = scalar(value, tag == "!");
    node.position = position_of(mark);
    add(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::kList);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::kMap);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    Node node;
    YAML::anchor_t anchor = 0;
    bool has_key = false;
    std::string key;
    Position key_position;
  };

  Position position_of(const YAML::Mark& mark) const {
    return {source_, mark.line + 1, mark.column + 1};
  }

  [[noreturn]] void fail(const Position& position, std::string message) {
    throw_if_any({{position, std::move(message)}});
    std::abort();  // not reached: the list isn't empty
  }
  [[noreturn]] void fail(const YAML::Mark& mark, std::string message) {
    fail(position_of(mark), std::move(message));
  }
  [[noreturn]] void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    fail(mark, fmt::format("tags aren't supported here, found '{}'; write the plain value", tag));
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            Node::Kind kind) {
    if (tag != "?" && tag != "!" && !tag.empty()) refuse_tag(mark, tag);
    Frame frame;
    frame.node.kind = kind;
    frame.node.position = position_of(mark);
    frame.anchor = anchor;
    frames_.push_back(std::move(frame));
  }

  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    add(std::move(frame.node), frame.anchor);
  }

  void add(Node node, YAML::anchor_t anchor) {
    if (++num_nodes_ > kMaxNodes) {
      fail(node.position, fmt::format("more than {} values after aliases are expanded", kMaxNodes));
    }
    if (anchor != 0) anchors_[anchor] = node;
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.is_list()) {
      frame.node.items.push_back(std::move(node));
    } else if (!frame.has_key) {
      if (node.kind != Node::Kind::kScalar) {
        fail(node.position, "a key must be text, found " + describe(node));
      }
      frame.has_key = true;
      frame.key = std::move(node.text);
      frame.key_position = node.position;
    } else {
      frame.has_key = false;
      if (const Entry* first = frame.node.find_entry(frame.key)) {
        problems_.push_back(
            {frame.key_position, fmt::format("duplicate key '{}', first given at line {}",
                                             frame.key, first->position.line)});
      } else {
        frame.node.entries.push_back(
            {std::move(frame.key), frame.key_position, std::move(node), {}});
      }
    }
  }

  const std::string& source_;
  std::vector<Problem>& problems_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, Node> anchors_;
  Node root_;
  int64_t num_nodes_ = 0;
  int64_t num_documents_ = 0;
};

}  // namespace

Node parse_yaml(const std::string& text, const std::string& source,
                std::vector<Problem>& problems) {
  std::istringstream stream(text);
  TreeBuilder builder(source, problems);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    throw_if_any({{{source, error.mark.line + 1, error.mark.column + 1},
                   fmt::format("this isn't valid YAML: {}", error.msg)}});
  }
  Node root = builder.take_root();
  if (builder.num_documents() == 0) root.position = {source, 1, 1};
  return root;
}

}  // namespace baleen::config
