#include "experiments/relabel/proposals.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "data/pack/csv.h"
#include "experiments/label_list.h"

namespace baleen {
namespace {

std::vector<double> thresholds_of(const TrustOptions& options,
                                  const std::vector<std::string>& label_names) {
  std::vector<double> thresholds(label_names.size(), options.threshold);
  for (const auto& [name, threshold] : options.label_thresholds) {
    const auto found = std::find(label_names.begin(), label_names.end(), name);
    if (found == label_names.end())
      throw Error(ErrorKind::kConfiguration, fmt::format("there is no label '{}'", name),
                  suggestion(name, label_names));
    thresholds[static_cast<size_t>(found - label_names.begin())] = threshold;
  }
  return thresholds;
}

const char* yes_no(bool value) { return value ? "yes" : "no"; }

}  // namespace

std::vector<Proposal> propose_labels(const std::vector<std::string>& ids,
                                     const at::Tensor& probabilities_NK,
                                     const std::vector<std::string>& label_names, TargetKind kind,
                                     const TrustOptions& options) {
  const std::vector<double> thresholds = thresholds_of(options, label_names);
  const at::Tensor p_NK = probabilities_NK.to(at::kDouble).contiguous();
  const double* p = p_NK.const_data_ptr<double>();
  const auto num_labels = std::ssize(label_names);
  std::vector<Proposal> proposals;
  for (const std::string& id : ids) {
    Proposal& proposal = proposals.emplace_back();
    proposal.id = id;
    if (kind == TargetKind::kSingleClass) {
      const int64_t best = std::max_element(p, p + num_labels) - p;
      proposal.labels = {best};
      proposal.confidence = p[best];
      proposal.accepted = p[best] >= thresholds[static_cast<size_t>(best)];
    } else {
      proposal.confidence = 1.0;
      proposal.accepted = true;
      for (int64_t l = 0; l < num_labels; ++l) {
        if (p[l] >= 0.5) proposal.labels.push_back(l);
        const double certainty = std::max(p[l], 1 - p[l]);
        proposal.confidence = std::min(proposal.confidence, certainty);
        if (certainty < thresholds[static_cast<size_t>(l)]) proposal.accepted = false;
      }
    }
    p += num_labels;
  }
  std::sort(proposals.begin(), proposals.end(), [](const Proposal& a, const Proposal& b) {
    return std::tie(a.confidence, a.id) < std::tie(b.confidence, b.id);
  });
  return proposals;
}

std::vector<Proposal> suggest_corrections(const OofData& data, const TrustOptions& options,
                                          int64_t limit) {
  const std::vector<double> thresholds = thresholds_of(options, data.labels);
  const at::Tensor mean_NK = data.oof_MNK.to(at::kDouble).mean(0).contiguous();
  const double* p = mean_NK.const_data_ptr<double>();
  const auto num_labels = std::ssize(data.labels);
  const bool classes = data.target_kind == TargetKind::kSingleClass;
  const at::Tensor targets =
      classes ? at::one_hot(data.targets.to(at::kLong), num_labels).to(at::kDouble).contiguous()
              : data.targets.to(at::kDouble).contiguous();
  const double* y = targets.const_data_ptr<double>();
  std::vector<Proposal> suggestions;
  for (const std::string& id : data.ids) {
    Proposal suggestion;
    suggestion.id = id;
    for (int64_t l = 0; l < num_labels; ++l)
      if (y[l] > 0.5) suggestion.given.push_back(l);
    bool certain = true, contradicts = false;
    if (classes) {
      const int64_t best = std::max_element(p, p + num_labels) - p;
      contradicts = best != suggestion.given.front();
      suggestion.labels = {best};
      suggestion.confidence = p[best];
      certain = p[best] >= thresholds[static_cast<size_t>(best)];
    } else {
      for (int64_t l = 0; l < num_labels; ++l) {
        const bool now = y[l] > 0.5, thought = p[l] >= 0.5;
        const double certainty = std::max(p[l], 1 - p[l]);
        const bool changed = now != thought && certainty >= thresholds[static_cast<size_t>(l)];
        if (changed) {
          contradicts = true;
          suggestion.confidence = std::max(suggestion.confidence, certainty);
        }
        if (now != changed) suggestion.labels.push_back(l);
      }
    }
    suggestion.accepted = options.accept_corrections && contradicts && certain;
    if (contradicts) suggestions.push_back(std::move(suggestion));
    p += num_labels;
    y += num_labels;
  }
  std::sort(suggestions.begin(), suggestions.end(), [](const Proposal& a, const Proposal& b) {
    return std::tie(b.confidence, a.id) < std::tie(a.confidence, b.id);
  });
  if (std::ssize(suggestions) > limit) suggestions.resize(static_cast<size_t>(limit));
  return suggestions;
}

std::string proposals_csv(const std::vector<Proposal>& proposals,
                          const std::vector<std::string>& label_names, TargetKind kind,
                          bool corrections) {
  std::string text =
      corrections ? "id,labels,given,confidence,accepted\n" : "id,labels,confidence,accepted\n";
  for (const Proposal& proposal : proposals) {
    text +=
        csv_field(proposal.id) + ',' + csv_field(labels_text(proposal.labels, label_names, kind));
    if (corrections) text += ',' + csv_field(labels_text(proposal.given, label_names, kind));
    text += fmt::format(",{:.6f},{}\n", proposal.confidence, yes_no(proposal.accepted));
  }
  return text;
}

}  // namespace baleen
