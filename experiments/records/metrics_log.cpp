#include "experiments/records/metrics_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "data/pack/csv.h"

namespace baleen {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no NaN: absent measurements are null.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

double read_number(const Json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

std::string to_line(const MetricsRecord& r) {
  Json val = Json::object();
  for (const auto& [name, value] : r.val) val[name] = number(value);
  const Json line = {{"run", r.run},
                     {"chain", r.chain},
                     {"backbone", r.backbone},
                     {"fold", r.fold},
                     {"stage", r.stage},
                     {"size_px", r.size_px},
                     {"epoch", r.epoch},
                     {"step", r.step},
                     {"lr", number(r.lr)},
                     {"train_loss", number(r.train_loss)},
                     {"val", val},
                     {"samples_per_s", number(r.samples_per_s)},
                     {"seconds", number(r.seconds)},
                     {"time_s", number(r.time_s)}};
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

MetricsRecord from_line(std::string_view text) {
  const Json line = Json::parse(text);
  MetricsRecord r;
  line.at("run").get_to(r.run);
  line.at("chain").get_to(r.chain);
  line.at("backbone").get_to(r.backbone);
  line.at("fold").get_to(r.fold);
  line.at("stage").get_to(r.stage);
  line.at("size_px").get_to(r.size_px);
  line.at("epoch").get_to(r.epoch);
  line.at("step").get_to(r.step);
  r.lr = read_number(line.at("lr"));
  r.train_loss = read_number(line.at("train_loss"));
  for (const auto& [name, value] : line.at("val").items()) r.val[name] = read_number(value);
  r.samples_per_s = read_number(line.at("samples_per_s"));
  r.seconds = read_number(line.at("seconds"));
  r.time_s = read_number(line.at("time_s"));
  return r;
}

std::string cell(double value) { return std::isfinite(value) ? fmt::format("{}", value) : ""; }

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& file) {
  if (std::filesystem::exists(file)) {
    const std::string content = read_file(file);
    const size_t end = content.rfind('\n') + 1;  // npos + 1 = 0: not one whole line
    if (end != content.size()) {
      log_warning("{}: the last line was cut short by a crash; removed", file.string());
      std::error_code code;
      std::filesystem::resize_file(file, end, code);
      if (code) throw storage_error("cut off the torn end of", file, code.value());
    }
  }
  file_.emplace(file, AppendFile::Sync::kNone);
}

void MetricsLog::append(const MetricsRecord& record) { file_->append(to_line(record)); }

std::vector<MetricsRecord> read_metrics(const std::filesystem::path& file) {
  const std::string content = read_file(file);
  std::vector<MetricsRecord> records;
  size_t number_of_line = 0;
  for (size_t begin = 0; begin < content.size();) {
    const size_t end = content.find('\n', begin);
    if (end == std::string::npos) break;  // torn
    ++number_of_line;
    try {
      records.push_back(from_line(std::string_view(content).substr(begin, end - begin)));
    } catch (const nlohmann::json::exception& error) {
      throw Error(ErrorKind::kData,
                  fmt::format("{}:{}: not a metrics record: {}", file.string(), number_of_line,
                              error.what()),
                  "remove the line; what it held is lost for the curves only");
    }
    begin = end + 1;
  }
  return records;
}

std::vector<MetricsRecord> latest_records(const std::vector<MetricsRecord>& records) {
  std::vector<std::string> chains;
  std::map<std::string, std::map<int64_t, const MetricsRecord*>> latest;
  for (const MetricsRecord& record : records) {
    if (!latest.contains(record.chain)) chains.push_back(record.chain);
    latest[record.chain][record.epoch] = &record;
  }
  std::vector<MetricsRecord> result;
  for (const std::string& chain : chains) {
    for (const auto& [epoch, record] : latest[chain]) result.push_back(*record);
  }
  return result;
}

void write_metrics_csv(const std::filesystem::path& file,
                       const std::vector<MetricsRecord>& records) {
  std::set<std::string> names;
  for (const MetricsRecord& record : records) {
    for (const auto& [name, value] : record.val) names.insert(name);
  }
  std::string text = "run,chain,backbone,fold,stage,size_px,epoch,step,lr,train_loss";
  for (const std::string& name : names) text += "," + csv_field("val_" + name);
  text += ",samples_per_s,seconds,time_s\n";
  for (const MetricsRecord& r : records) {
    text += fmt::format("{},{},{},{},{},{},{},{},{},{}", csv_field(r.run), csv_field(r.chain),
                        csv_field(r.backbone), r.fold, r.stage, r.size_px, r.epoch, r.step,
                        cell(r.lr), cell(r.train_loss));
    for (const std::string& name : names) {
      const auto found = r.val.find(name);
      text += "," + (found == r.val.end() ? std::string() : cell(found->second));
    }
    text += fmt::format(",{},{},{}\n", cell(r.samples_per_s), cell(r.seconds),
                        std::isfinite(r.time_s) ? fmt::format("{:.3f}", r.time_s) : "");
  }
  write_file_atomically(file, text);
}

}  // namespace baleen
