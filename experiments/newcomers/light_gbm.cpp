#include <ATen/ATen.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "experiments/newcomers/learners.h"

// LightGBM's C interface, of which these few functions have been the same since version 2.

namespace baleen {
namespace {

constexpr int kFloat32 = 0;
constexpr int kFloat64 = 1;
constexpr int kRowMajor = 1;
constexpr int kProbability = 0;

}  // namespace

struct LightGbm::Functions {
  const char* (*last_error)();
  int (*dataset_create)(const void*, int, int32_t, int32_t, int, const char*, const void*, void**);
  int (*dataset_set_field)(void*, const char*, const void*, int, int);
  int (*dataset_free)(void*);
  int (*booster_create)(const void*, const char*, void**);
  int (*booster_update)(void*, int*);
  int (*booster_predict)(const void*, const void*, int, int32_t, int32_t, int, int, int, int,
                         const char*, int64_t*, double*);
  int (*booster_free)(void*);

  void check(int result, const char* what) const {
    if (result != 0)
      throw Error(ErrorKind::kData, fmt::format("LightGBM can't {}: {}", what, last_error()));
  }
};

LightGbm::LightGbm(const std::filesystem::path& library)
    : functions_(std::make_unique<Functions>()) {
  const std::string name = library.empty() ? "lib_lightgbm.so" : library.string();
  handle_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  const auto refuse = [&] {
    const char* reason = dlerror();
    const std::string text = reason ? reason : "unknown reason";
    if (handle_) dlclose(handle_);
    throw Error(ErrorKind::kConfiguration, fmt::format("LightGBM can't be opened: {}", text),
                "pip install lightgbm, and give the path of its lib/lib_lightgbm.so");
  };
  if (!handle_) refuse();
  const auto find = [&](auto& function, const char* symbol) {
    void* address = dlsym(handle_, symbol);
    if (!address) refuse();
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(address);
  };
  find(functions_->last_error, "LGBM_GetLastError");
  find(functions_->dataset_create, "LGBM_DatasetCreateFromMat");
  find(functions_->dataset_set_field, "LGBM_DatasetSetField");
  find(functions_->dataset_free, "LGBM_DatasetFree");
  find(functions_->booster_create, "LGBM_BoosterCreate");
  find(functions_->booster_update, "LGBM_BoosterUpdateOneIter");
  find(functions_->booster_predict, "LGBM_BoosterPredictForMat");
  find(functions_->booster_free, "LGBM_BoosterFree");
}

// The library stays open: its threads outlive a booster.
LightGbm::~LightGbm() = default;

at::Tensor LightGbm::fit_predict(const at::Tensor& x_NF, const at::Tensor& y_N,
                                 const at::Tensor& test_MF, int64_t rounds,
                                 std::map<std::string, std::string> parameters) const {
  const at::Tensor x = x_NF.to(at::kDouble).contiguous();
  const at::Tensor y = y_N.gt(0).to(at::kFloat).contiguous();
  const at::Tensor test = test_MF.to(at::kDouble).contiguous();
  parameters.insert({{"objective", "binary"},
                     {"deterministic", "true"},
                     {"force_row_wise", "true"},
                     {"num_threads", "1"},
                     {"verbosity", "-1"}});
  std::string text;
  for (const auto& [key, value] : parameters) text += fmt::format("{}={} ", key, value);

  const Functions& f = *functions_;
  const auto free_dataset = [&](void* dataset) { f.dataset_free(dataset); };
  const auto free_booster = [&](void* booster) { f.booster_free(booster); };
  void* handle = nullptr;
  f.check(
      f.dataset_create(x.const_data_ptr(), kFloat64, static_cast<int32_t>(x.size(0)),
                       static_cast<int32_t>(x.size(1)), kRowMajor, text.c_str(), nullptr, &handle),
      "take the features");
  const std::unique_ptr<void, decltype(free_dataset)> dataset(handle, free_dataset);
  f.check(f.dataset_set_field(handle, "label", y.const_data_ptr(), static_cast<int>(y.numel()),
                              kFloat32),
          "take the labels");
  f.check(f.booster_create(dataset.get(), text.c_str(), &handle), "begin");
  const std::unique_ptr<void, decltype(free_booster)> booster(handle, free_booster);
  for (int64_t round = 0; round < rounds; ++round) {
    int finished = 0;
    f.check(f.booster_update(booster.get(), &finished), "train");
    if (finished) break;
  }
  at::Tensor probability_M = at::empty({test.size(0)}, at::kDouble);
  if (test.size(0) == 0) return probability_M;
  int64_t written = 0;
  f.check(f.booster_predict(booster.get(), test.const_data_ptr(), kFloat64,
                            static_cast<int32_t>(test.size(0)), static_cast<int32_t>(test.size(1)),
                            kRowMajor, kProbability, 0, -1, text.c_str(), &written,
                            probability_M.mutable_data_ptr<double>()),
          "predict");
  return probability_M;
}

}  // namespace baleen
