#include "core/base/error.h"

namespace baleen {

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage:
      return 2;
    case ErrorKind::kConfiguration:
      return 3;
    case ErrorKind::kData:
      return 4;
    case ErrorKind::kInternal:
      return 70;
    case ErrorKind::kStorage:
      return 74;
    case ErrorKind::kInterrupted:
      return 75;
    case ErrorKind::kHang:
      return 86;
    case ErrorKind::kCommunication:
      return 87;
    case ErrorKind::kNumeric:
      return 88;
  }
  return 70;
}

const char* name_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage:
      return "usage";
    case ErrorKind::kConfiguration:
      return "configuration";
    case ErrorKind::kData:
      return "data";
    case ErrorKind::kInternal:
      return "internal";
    case ErrorKind::kStorage:
      return "storage";
    case ErrorKind::kInterrupted:
      return "interrupted";
    case ErrorKind::kHang:
      return "hang";
    case ErrorKind::kCommunication:
      return "communication";
    case ErrorKind::kNumeric:
      return "numeric";
  }
  return "internal";
}

Error::Error(ErrorKind kind, std::string message, std::string hint)
    : kind_(kind), message_(std::move(message)), hint_(std::move(hint)) {
  render();
}

void Error::add_context(std::string context) {
  context_.push_back(std::move(context));
  render();
}

void Error::render() {
  text_ = message_;
  for (const std::string& line : context_) text_ += "\n  while " + line;
  if (!hint_.empty()) text_ += "\n  hint: " + hint_;
}

Error current_error() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::exception& error) {
    return Error(ErrorKind::kInternal, error.what());
  } catch (...) {
    return Error(ErrorKind::kInternal, "an exception that is not a std::exception");
  }
}

}  // namespace baleen
