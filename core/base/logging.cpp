#include "core/base/logging.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>

#include <atomic>
#include <memory>
#include <mutex>

#include "core/base/console.h"
#include "core/base/error.h"
#include "core/base/host_name.h"

// This file is compiled against spdlog's fmt, which is another version than LibTorch's: it must not
// include LibTorch.

namespace baleen {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

// Prints above the live area of standard error; the part between %^ and %$ is coloured by level.
class ConsoleSink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t buffer;
    formatter_->format(message, buffer);
    std::string_view text(buffer.data(), buffer.size());
    if (text.ends_with('\n')) text.remove_suffix(1);
    Console& console = standard_error();
    const std::string_view colour = colour_of(message.level);
    if (colour.empty() || !console.output().is_terminal()) {
      console.print_line(text);
      return;
    }
    std::string coloured(text.substr(0, message.color_range_start));
    coloured += colour;
    coloured +=
        text.substr(message.color_range_start, message.color_range_end - message.color_range_start);
    coloured += "\x1b[0m";
    coloured += text.substr(message.color_range_end);
    console.print_line(coloured);
  }
  void flush_() override {}

 private:
  static std::string_view colour_of(spdlog::level::level_enum level) {
    if (level >= spdlog::level::err) return "\x1b[1;31m";
    if (level == spdlog::level::warn) return "\x1b[33m";
    if (level == spdlog::level::debug) return "\x1b[2m";
    return {};
  }
};

// "[rank 2/8 hostb]", safe inside a pattern.
std::string who(const LogOptions& options) {
  std::string text = "[rank " + std::to_string(options.rank) + "/" +
                     std::to_string(options.world_size) + " " +
                     (options.host.empty() ? host_name() : options.host) + "]";
  for (size_t at = 0; (at = text.find('%', at)) != std::string::npos; at += 2) {
    text.insert(at, 1, '%');
  }
  return text;
}

std::shared_ptr<spdlog::logger> make_logger(const LogOptions& options) {
  std::vector<spdlog::sink_ptr> sinks;

  auto console = std::make_shared<ConsoleSink>();
  console->set_formatter(
      std::make_unique<spdlog::pattern_formatter>("%^%H:%M:%S %L%$ " + who(options) + " %v"));
  auto console_level = to_spdlog(options.console_level);
  if (options.rank != 0 && !options.console_all_ranks) {
    console_level = std::max(console_level, spdlog::level::warn);
  }
  console->set_level(console_level);
  sinks.push_back(std::move(console));

  if (!options.file.empty()) {
    try {
      auto file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
      file->set_formatter(std::make_unique<spdlog::pattern_formatter>("%Y-%m-%d %H:%M:%S.%e %L " +
                                                                      who(options) + " %v"));
      file->set_level(spdlog::level::debug);
      sinks.push_back(std::move(file));
    } catch (const spdlog::spdlog_ex& error) {
      throw Error(ErrorKind::kStorage,
                  "can't open the log file " + options.file + ": " + error.what(),
                  "check the run directory's permissions and free space");
    }
  }

  auto logger = std::make_shared<spdlog::logger>("baleen", sinks.begin(), sinks.end());
  logger->set_level(spdlog::level::debug);
  // Debug lines may wait in the buffer; what a person looks for after a crash may not.
  logger->flush_on(spdlog::level::info);
  // Said once: a full disk would otherwise repeat it with every line.
  logger->set_error_handler(
      [told = std::make_shared<std::atomic<bool>>(false)](const std::string& reason) {
        if (!told->exchange(true)) {
          standard_error().print_line("the log file can't be written: " + reason);
        }
      });
  return logger;
}

struct LogState {
  std::mutex mutex;
  std::shared_ptr<spdlog::logger> logger;
};

// Never destroyed: threads may still log while the process ends.
LogState& state() {
  static auto* const instance = new LogState;
  return *instance;
}

}  // namespace

void configure_logging(const LogOptions& options) {
  std::shared_ptr<spdlog::logger> logger = make_logger(options);
  const std::lock_guard lock(state().mutex);
  if (state().logger) state().logger->flush();
  state().logger = std::move(logger);
}

void log_line(LogLevel level, std::string_view message) noexcept {
  try {
    std::shared_ptr<spdlog::logger> logger;
    {
      const std::lock_guard lock(state().mutex);
      if (!state().logger) state().logger = make_logger({});
      logger = state().logger;
    }
    logger->log(to_spdlog(level), spdlog::string_view_t(message.data(), message.size()));
  } catch (...) {
    // Nowhere left to say it.
  }
}

}  // namespace baleen
