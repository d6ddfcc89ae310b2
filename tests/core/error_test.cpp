#include "core/base/error.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace baleen {
namespace {

TEST(ErrorTest, ContextIsAddedFromTheInsideOut) {
  try {
    with_context(
        [] { return std::string("training resnet18/fold2"); },
        [] {
          return with_context(
              [] { return std::string("reading sample 812"); },
              []() -> int { throw Error(ErrorKind::kData, "checksum differs", "re-pack it"); });
        });
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_STREQ(error.what(),
                 "checksum differs\n  while reading sample 812\n  while training resnet18/fold2\n  "
                 "hint: re-pack it");
  }
}

TEST(ErrorTest, ForeignExceptionsBecomeInternalErrors) {
  try {
    with_context([] { return std::string("x"); }, [] { throw std::runtime_error("boom"); });
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
    EXPECT_EQ(error.message(), "boom");
  }
}

TEST(ErrorTest, TheFailureOfAPeerIsNoCauseOfItsOwn) {
  EXPECT_THROW(with_context([] { return std::string("x"); }, [] { throw PeerFailed(); }),
               PeerFailed);
}

TEST(ErrorTest, ExitCodesAreTheDocumentedOnes) {
  EXPECT_EQ(exit_code(ErrorKind::kUsage), 2);
  EXPECT_EQ(exit_code(ErrorKind::kConfiguration), 3);
  EXPECT_EQ(exit_code(ErrorKind::kData), 4);
  EXPECT_EQ(exit_code(ErrorKind::kInterrupted), 75);
  EXPECT_EQ(exit_code(ErrorKind::kHang), 86);
  EXPECT_EQ(exit_code(ErrorKind::kCommunication), 87);
  EXPECT_EQ(exit_code(ErrorKind::kNumeric), 88);
}

}  // namespace
}  // namespace baleen
