#pragma once

#include <exception>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace baleen {

/// What kind of failure ended a piece of work. Each kind has its own exit code
/// (docs/exit-codes.md).
enum class ErrorKind {
  kUsage,          ///< the command line is wrong
  kConfiguration,  ///< a recipe or dataset description is wrong
  kData,     ///< a dataset, image, table or checkpoint is missing, malformed or fails its checksum
  kStorage,  ///< the operating system refused a read or write: disk full, permission, quota
  kInterrupted,    ///< a signal asked the run to stop; what is finished is kept and the run can be
                   ///< resumed
  kHang,           ///< a rank made no progress within its time limit
  kCommunication,  ///< a peer was lost, or a collective operation failed
  kNumeric,        ///< a loss, gradient or prediction is not finite
  kInternal,       ///< a defect in Baleen itself
};

/// Process exit code of a run that ends with an error of this kind, in 1…125.
int exit_code(ErrorKind kind);

/// Short lower-case name: "usage", "configuration", "data", "storage", …
const char* name_of(ErrorKind kind);

/// An error with the chain of what was being done when it happened, innermost first.
///
/// Thrown where the fault is seen, with a message that names the file, key or sample. Context is
/// added on the way up by with_context(); the rooms below never know the story above them.
class Error : public std::exception {
 public:
  /// @param message what is wrong, naming the thing that is wrong; one line
  /// @param hint    what the user can do about it; may be empty
  Error(ErrorKind kind, std::string message, std::string hint = {});

  ErrorKind kind() const { return kind_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }
  const std::vector<std::string>& context() const { return context_; }

  /// Appends an outer context, e.g. "resnet18/fold2, stage 2 (96 px)".
  void add_context(std::string context);

  /// The message, then one indented line per context, then the hint.
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  void render();

  ErrorKind kind_;
  std::string message_;
  std::string hint_;
  std::vector<std::string> context_;
  std::string text_;
};

/// Ends a collective piece of work on the ranks that did nothing wrong: the rank that failed throws
/// the root cause, the others throw this, so that the first message a person reads is the one that
/// matters.
class PeerFailed : public std::exception {
 public:
  const char* what() const noexcept override { return "another rank of the group failed"; }
};

/// The current exception as an Error: an Error as it is, anything else as kInternal with its
/// what(). Call inside a catch block only.
Error current_error();

/// Runs `action`; if it throws, adds the text that `describe()` returns as context. `describe` runs
/// only on failure. PeerFailed passes as it is.
template <class Describe, class Action>
auto with_context(Describe&& describe, Action&& action) -> std::invoke_result_t<Action> {
  try {
    return std::forward<Action>(action)();
  } catch (const PeerFailed&) {
    throw;  // the rank with the root cause tells what it was doing
  } catch (...) {
    Error error = current_error();
    error.add_context(describe());
    throw Error(std::move(error));
  }
}

}  // namespace baleen
