#include "data/folds.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "core/base/error.h"
#include "core/base/seeds.h"
#include "data/folds_balance.h"
#include "data/name_list.h"

namespace baleen {
namespace {

/// A unit with the positions of its samples in the subject.
struct Members {
  std::vector<int64_t> positions;
};

const std::string& group_of(const FoldSubject& subject, int64_t position) {
  static const std::string kNone;
  return subject.groups.empty() ? kNone : subject.groups[static_cast<size_t>(position)];
}

bool has_groups(const FoldSubject& subject) {
  return std::any_of(subject.groups.begin(), subject.groups.end(),
                     [](const std::string& group) { return !group.empty(); });
}

void check_subject(const FoldSubject& subject) {
  const size_t n = subject.ids.size();
  const bool labels_fit = subject.target_kind == TargetKind::kNone || subject.labels.size() == n;
  if (!labels_fit || (!subject.groups.empty() && subject.groups.size() != n) ||
      (!subject.copies_of.empty() && subject.copies_of.size() != n))
    throw Error(ErrorKind::kInternal,
                "fold subject: ids, labels, groups and copies differ in length");
  std::unordered_set<std::string> seen;
  for (const std::string& id : subject.ids)
    if (!seen.insert(id).second)
      throw Error(ErrorKind::kData, fmt::format("sample id '{}' occurs twice", id),
                  "folds are assigned by id; make the ids unique");
}

std::string resolved_kind(const FoldSubject& subject, const FoldOptions& options) {
  const std::string& kind = options.kind;
  if (kind == "auto") {
    if (has_groups(subject)) return "grouped";
    if (subject.target_kind == TargetKind::kMultiLabel) return "iterative";
    return subject.target_kind == TargetKind::kSingleClass ? "stratified" : "plain";
  }
  if (kind == "grouped" && !has_groups(subject))
    throw Error(ErrorKind::kConfiguration, "folds.kind is 'grouped' but no sample has a group",
                "pack the dataset with a group column, or take another kind");
  if (kind == "stratified" && subject.target_kind != TargetKind::kSingleClass)
    throw Error(ErrorKind::kConfiguration,
                "folds.kind is 'stratified' but the samples don't have one class each",
                "use 'iterative' for multi-label data and 'plain' without labels");
  if (kind == "iterative" && subject.target_kind == TargetKind::kNone)
    throw Error(ErrorKind::kConfiguration,
                "folds.kind is 'iterative' but the samples have no labels", "use 'plain'");
  if (kind != "plain" && kind != "stratified" && kind != "iterative" && kind != "grouped")
    throw Error(ErrorKind::kConfiguration, fmt::format("unknown folds.kind '{}'", kind),
                "known: auto, plain, stratified, iterative, grouped");
  return kind;
}

/// Groups, and samples without one; shuffled from an order that depends on the ids only.
std::vector<Members> make_members(const FoldSubject& subject, CounterRandom& random) {
  std::vector<int64_t> by_id(subject.ids.size());
  std::iota(by_id.begin(), by_id.end(), 0);
  std::sort(by_id.begin(), by_id.end(), [&](int64_t x, int64_t y) {
    return subject.ids[static_cast<size_t>(x)] < subject.ids[static_cast<size_t>(y)];
  });
  std::vector<Members> members;
  std::map<std::string, size_t> unit_of_group;
  for (int64_t position : by_id) {
    const std::string& group = group_of(subject, position);
    if (!group.empty()) {
      const auto [entry, fresh] = unit_of_group.try_emplace(group, members.size());
      if (!fresh) {
        members[entry->second].positions.push_back(position);
        continue;
      }
    }
    members.push_back({{position}});
  }
  shuffle(members, random);
  return members;
}

std::vector<FoldUnit> make_units(const FoldSubject& subject, const std::vector<Members>& members,
                                 bool with_labels) {
  std::vector<FoldUnit> units;
  units.reserve(members.size());
  for (const Members& member : members) {
    std::map<int64_t, int64_t> counts{{0, static_cast<int64_t>(member.positions.size())}};
    for (int64_t position : member.positions)
      if (with_labels)
        for (int64_t label : subject.labels[static_cast<size_t>(position)]) ++counts[1 + label];
    units.push_back({{counts.begin(), counts.end()}});
  }
  return units;
}

/// Classes one after the other, dealt out like cards: every class and every fold is within one of
/// its share.
std::vector<int64_t> deal(const FoldSubject& subject, const std::vector<Members>& members,
                          bool by_class, int64_t num_folds) {
  std::vector<int64_t> order(members.size());
  std::iota(order.begin(), order.end(), 0);
  if (by_class) {
    const auto class_of = [&](int64_t u) {
      const int64_t position = members[static_cast<size_t>(u)].positions.front();
      return subject.labels[static_cast<size_t>(position)].front();
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t x, int64_t y) { return class_of(x) < class_of(y); });
  }
  std::vector<int64_t> folds(members.size());
  for (size_t i = 0; i < order.size(); ++i)
    folds[static_cast<size_t>(order[i])] = static_cast<int64_t>(i) % num_folds;
  return folds;
}

void warn_about_rare_labels(const std::vector<FoldUnit>& units, const FoldSubject& subject,
                            int64_t num_folds, std::vector<std::string>& warnings) {
  const size_t num_labels = subject.label_names.size();
  std::vector<int64_t> num_units(num_labels, 0);
  for (const FoldUnit& unit : units)
    for (const auto& [column, count] : unit.counts)
      if (column > 0) ++num_units[static_cast<size_t>(column - 1)];
  std::vector<std::string> absent;
  std::vector<std::string> rare;
  for (size_t l = 0; l < num_labels; ++l) {
    if (num_units[l] == 0) {
      absent.push_back(subject.label_names[l]);
    } else if (num_units[l] < num_folds) {
      rare.push_back(fmt::format("{} ({})", subject.label_names[l], num_units[l]));
    }
  }
  if (!absent.empty())
    warnings.push_back(fmt::format("{} of {} labels have no sample at all: {}", absent.size(),
                                   num_labels, name_list(absent)));
  if (!rare.empty())
    warnings.push_back(
        fmt::format("{} of {} labels have fewer {} than there are folds ({}), so that some folds "
                    "can't measure them: {}",
                    rare.size(), num_labels, has_groups(subject) ? "groups" : "samples", num_folds,
                    name_list(rare)));
}

bool has_copies(const FoldSubject& subject) {
  return std::any_of(subject.copies_of.begin(), subject.copies_of.end(),
                     [](const std::string& source) { return !source.empty(); });
}

/// The subject without its copies. Groups that only held an original and its copies together are
/// dissolved, so that they don't turn other kinds of folds into grouped ones.
FoldSubject originals_of(const FoldSubject& subject) {
  FoldSubject originals;
  originals.target_kind = subject.target_kind;
  originals.label_names = subject.label_names;
  std::map<std::string, int64_t> group_sizes;
  std::set<std::string> copied;
  for (size_t i = 0; i < subject.ids.size(); ++i) {
    if (subject.is_copy(i))
      copied.insert(subject.copies_of[i]);
    else
      ++group_sizes[group_of(subject, static_cast<int64_t>(i))];
  }
  for (size_t i = 0; i < subject.ids.size(); ++i) {
    if (subject.is_copy(i)) continue;
    const std::string& group = group_of(subject, static_cast<int64_t>(i));
    const bool only_for_copies = group_sizes[group] == 1 && copied.contains(subject.ids[i]);
    originals.ids.push_back(subject.ids[i]);
    originals.groups.push_back(only_for_copies ? "" : group);
    if (!subject.labels.empty()) originals.labels.push_back(subject.labels[i]);
  }
  return originals;
}

/// The division of the originals, spread to their copies.
FoldAssignment with_copies(const FoldSubject& subject, FoldAssignment originals) {
  std::unordered_map<std::string, int64_t> fold_of;
  size_t next = 0;
  for (size_t i = 0; i < subject.ids.size(); ++i)
    if (!subject.is_copy(i)) fold_of.emplace(subject.ids[i], originals.folds[next++]);
  FoldAssignment all = std::move(originals);
  all.folds.clear();
  for (size_t i = 0; i < subject.ids.size(); ++i) {
    const bool copy = subject.is_copy(i);
    const auto fold = fold_of.find(copy ? subject.copies_of[i] : subject.ids[i]);
    if (fold == fold_of.end())
      throw Error(ErrorKind::kData,
                  fmt::format("sample '{}' is a copy of '{}', which is not here", subject.ids[i],
                              subject.copies_of[i]),
                  "copies and originals belong into one dataset: pack it again");
    all.folds.push_back(fold->second);
    all.copies.push_back(copy);
  }
  return all;
}

}  // namespace

FoldSubject fold_subject(const SampleTable& table, std::span<const int64_t> rows) {
  FoldSubject subject;
  subject.target_kind = table.target_kind();
  subject.label_names = table.label_names();
  for (int64_t row : rows) {
    subject.ids.push_back(table.id(row));
    subject.groups.push_back(table.group(row));
    subject.copies_of.push_back(table.copy_of(row));
    std::vector<int64_t> labels;
    if (subject.target_kind == TargetKind::kSingleClass) {
      labels.push_back(table.class_index(row));
    } else if (subject.target_kind == TargetKind::kMultiLabel) {
      const std::span<const uint8_t> flags = table.labels(row);
      for (size_t l = 0; l < flags.size(); ++l)
        if (flags[l]) labels.push_back(static_cast<int64_t>(l));
    }
    subject.labels.push_back(std::move(labels));
  }
  return subject;
}

std::vector<int64_t> FoldAssignment::positions_in(int64_t fold) const {
  std::vector<int64_t> positions;
  for (size_t i = 0; i < folds.size(); ++i)
    if (folds[i] == fold && (copies.empty() || !copies[i]))
      positions.push_back(static_cast<int64_t>(i));
  return positions;
}

std::vector<int64_t> FoldAssignment::positions_outside(int64_t fold) const {
  std::vector<int64_t> positions;
  for (size_t i = 0; i < folds.size(); ++i)
    if (folds[i] != fold) positions.push_back(static_cast<int64_t>(i));
  return positions;
}

FoldAssignment make_folds(const FoldSubject& subject, const FoldOptions& options) {
  check_subject(subject);
  if (has_copies(subject)) return with_copies(subject, make_folds(originals_of(subject), options));
  if (!options.folds_from.empty()) return read_folds(subject, options.folds_from, options.count);
  if (options.count < 2)
    throw Error(ErrorKind::kConfiguration, fmt::format("folds.count is {}", options.count),
                "cross-validation needs at least 2 folds");

  FoldAssignment result;
  result.count = options.count;
  result.kind = resolved_kind(subject, options);
  CounterRandom random(derive_seed(static_cast<uint64_t>(options.seed), Stream::kFolds,
                                   {static_cast<uint64_t>(options.count)}));
  const std::vector<Members> members = make_members(subject, random);
  if (static_cast<int64_t>(members.size()) < options.count)
    throw Error(ErrorKind::kData,
                fmt::format("{} folds can't be made of {} {}", options.count, members.size(),
                            has_groups(subject) ? "groups" : "samples"),
                "lower folds.count");

  const bool labelled = subject.target_kind != TargetKind::kNone;
  const std::vector<FoldUnit> units =
      make_units(subject, members, labelled && result.kind != "plain");
  const int64_t num_columns = 1 + static_cast<int64_t>(subject.label_names.size());
  const bool single_samples = members.size() == subject.ids.size();

  std::vector<int64_t> unit_folds;
  if (single_samples && (result.kind == "plain" || result.kind == "stratified")) {
    unit_folds = deal(subject, members, result.kind == "stratified", options.count);
  } else {
    unit_folds = single_samples && result.kind == "iterative"
                     ? distribute_iteratively(units, num_columns, options.count, random)
                     : distribute_greedily(units, num_columns, options.count);
    improve_by_exchange(units, num_columns, options.count, unit_folds);
  }

  result.folds.assign(subject.ids.size(), -1);
  for (size_t u = 0; u < members.size(); ++u)
    for (int64_t position : members[u].positions)
      result.folds[static_cast<size_t>(position)] = unit_folds[u];
  for (int64_t fold = 0; fold < options.count; ++fold)
    if (std::find(result.folds.begin(), result.folds.end(), fold) == result.folds.end())
      throw Error(ErrorKind::kData, fmt::format("fold {} would hold no sample", fold),
                  "the groups are too large for so many folds: lower folds.count");
  if (labelled)
    warn_about_rare_labels(make_units(subject, members, true), subject, options.count,
                           result.warnings);
  return result;
}

}  // namespace baleen
