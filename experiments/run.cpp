#include "experiments/run.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/format.h"
#include "core/base/logging.h"
#include "core/config/encode.h"
#include "core/training/checkpoint.h"
#include "data/sample_table.h"
#include "data/staging.h"
#include "distributed/device.h"
#include "distributed/library_versions.h"
#include "experiments/after_chains.h"
#include "experiments/classification_chain.h"
#include "experiments/collect_report.h"
#include "experiments/collective.h"
#include "experiments/complete_part.h"
#include "experiments/coordinator_worker.h"
#include "experiments/dataset_facts.h"
#include "experiments/environment.h"
#include "experiments/failure.h"
#include "experiments/finish_boxes.h"
#include "experiments/finish_masks.h"
#include "experiments/finish_run.h"
#include "experiments/metric/finish_metric.h"
#include "experiments/prepare_checks.h"
#include "experiments/report/report.h"
#include "experiments/run_progress.h"
#include "experiments/run_status.h"
#include "experiments/sweep/finish_sweep.h"
#include "experiments/sweep/prepared_sweep.h"
#include "experiments/sweep/sweep_chains.h"
#include "experiments/sweep/sweep_outline.h"
#include "experiments/sweep/sweep_supply.h"
#include "experiments/watch_run.h"

namespace baleen {
namespace {

void check_targets(const PreparedRun& run, const Extensions* extensions) {
  const bool own_labels = run.recipe.task.kind == "labels";
  if (own_labels && run.dataset->target_kind() == TargetKind::kNone) {
    throw Error(ErrorKind::kData, run.recipe.dataset + " has no targets to learn",
                "pack it with labels, or name it as `test`");
  }
  if (extensions) {
    // Made once, for what it says of its parameters: the chains make their own.
    (void)run.task->make_loss(extensions->losses, run.recipe.loss);
    for (int64_t b = 0; b < std::ssize(run.recipe.backbones); ++b) {
      for (const StageOptions& stage : run.recipe.stages_of(b))
        (void)run.task->make_loss(extensions->losses, run.recipe.loss_of(stage));
    }
  }
  if (own_labels && run.test && run.test->target_kind() != TargetKind::kNone &&
      run.test->label_names() != run.dataset->label_names()) {
    throw Error(ErrorKind::kData,
                fmt::format("{} and {} name different labels", run.recipe.dataset, run.recipe.test),
                "pack both with the same `labels` list");
  }
  if (run.test && run.test->channels() != run.dataset->channels()) {
    throw Error(ErrorKind::kData,
                fmt::format("{} has {} channels, {} has {}", run.recipe.dataset,
                            run.dataset->channels(), run.recipe.test, run.test->channels()));
  }
}

/// [collective] Hosts may have different files under the same path.
void agree_on_plugins(const Extensions& extensions, Communicator& world) {
  std::string mine;
  for (const LoadedPlugin& plugin : extensions.plugins)
    mine += fmt::format("{}{} with digest {}", mine.empty() ? "" : ", ", plugin.file.string(),
                        plugin.digest);
  const std::vector<std::string> all = world.all_gather(mine);
  for (size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    throw Error(ErrorKind::kConfiguration,
                fmt::format("the plug-ins of rank {} differ from those of rank 0: {} instead of {}",
                            rank, all[rank], all[0]),
                "put the same file on every host, or on a file system that all share");
  }
}

/// On GPUs the same bits need deterministic kernels; on CPUs LibTorch's are.
void choose_kernels(const TrainingSection& training) {
  if (!training_device(training.device).is_cuda()) return;
  const bool strict = training.determinism == "strict";
  at::globalContext().setDeterministicAlgorithms(strict, /*warn_only=*/false);
  at::globalContext().setDeterministicCuDNN(strict);
  at::globalContext().setBenchmarkCuDNN(!strict);
}

/// Rank 0's hold on the run: the lock, the journal, what the journal knew at the start.
struct Ownership {
  std::optional<OpenedRun> opened;
  std::unique_ptr<Journal> journal;
  std::vector<std::string> finished;  ///< chains, on every rank
  bool complete = false;              ///< on every rank
};

/// [collective] Opens the run directory on rank 0 and tells everyone what is finished.
Ownership take_ownership(const PreparedRun& run, const RunRequest& request,
                         const RunDirectory& directory, Communicator& world) {
  Ownership own;
  const HolderWait wait{request.wait_s, [&request] {
                          if (request.stop_requested && request.stop_requested())
                            throw_interrupted();
                        }};
  std::string news;
  on_first_rank(world, [&] {
    own.opened.emplace(open_run_directory(directory, request.resume, run.plan,
                                          config::to_yaml(request.recipe), wait));
    if (run.sweep) write_file_atomically(directory.sweep(), to_json_text(outline_of(*run.sweep)));
    own.journal = std::make_unique<Journal>(directory.journal());
    news = own.journal->state().complete ? "1" : "0";
    for (const std::string& name : own.journal->state().finished_names()) news += "\n" + name;
  });
  news = world.broadcast(news, 0);
  own.complete = news.starts_with("1");
  for (size_t at = news.find('\n'); at != std::string::npos;) {
    const size_t next = news.find('\n', at + 1);
    own.finished.push_back(news.substr(at + 1, next == std::string::npos ? next : next - at - 1));
    at = next;
  }
  return own;
}

void record_start(const PreparedRun& run, const RunRequest& request, const Extensions& extensions,
                  const RunDirectory& directory, MpiEnvironment& mpi,
                  const std::vector<std::string>& hosts, Journal* journal) {
  StartFacts facts;
  facts.mpi_library = mpi_library_version();
  facts.hosts = hosts;
  facts.threads_per_rank = static_cast<int>(run.recipe.training.threads_per_rank);
  facts.device = training_device(run.recipe.training.device).str();
  facts.command_line = request.command_line;
  for (const LoadedPlugin& plugin : extensions.plugins)
    facts.plugins[plugin.file.string()] = plugin.digest;
  for (const std::string& warning : record_environment(directory.environment(), facts))
    log_warning("{}", warning);
  JournalRecord record;
  record.kind = JournalRecord::Kind::kRunStarted;
  record.plan_hash = run.plan.hash;
  for (int r = 0; r < mpi.size(); ++r) record.ranks.push_back(r);
  record.hosts = hosts;
  journal->append(record);
}

/// Chains need their checkpoints no more once the journal knows them as finished.
void drop_checkpoints(const PreparedRun& run, const RunDirectory& directory) {
  for (const ChainSpec& chain : run.plan.chains)
    CheckpointStore(directory.chain(chain.name), 1).remove_all();
}

void write_run_report(const RunDirectory& directory, const PreparedRun& run,
                      const ReportTools& tools) {
  // A page that can't be drawn must not turn a finished training into a failure.
  try {
    if (run.sweep)
      write_trials_csv(directory, outline_of(*run.sweep), read_journal(directory.journal()));
    write_report(directory.report(), collect_report(directory, &run, tools));
  } catch (...) {
    const Error& error = current_error();
    log_warning("the report is not written: {}", error.kind() == ErrorKind::kInterrupted
                                                     ? "a signal came; `baleen report` draws it"
                                                     : error.what());
  }
}

/// What comes after the last chain, for models that have all their folds; the table for the user.
std::string finish_models(const PreparedRun& run, const RunDirectory& directory, Journal& journal,
                          const CheckStop& check_stop) {
  if (run.recipe.task.kind == "boxes") return finish_boxes(run, directory, journal, check_stop);
  if (run.recipe.task.kind == "masks") return finish_masks(run, directory, journal, check_stop);
  if (run.recipe.task.kind == "metric" || run.recipe.task.kind == "siamese")
    return finish_metric(run, directory, journal, check_stop);
  if (const auto evaluation = finish_run(run, directory, journal, check_stop))
    return print_evaluation(*evaluation);
  return "there is no stack: stacking.missing_models is refuse\n";
}

/// The same for whatever there is.
/// @returns nothing where nothing is complete
std::string finish(const PreparedRun& run, const RunDirectory& directory, Journal& journal,
                   const CheckStop& check_stop) {
  if (run.sweep) return finish_sweep(run, directory, journal);
  const PreparedRun part = complete_part(run, journal.state());
  const std::vector<std::string> left_out = describe_left_out(part);
  for (const std::string& model : left_out) log_warning("{}", model);
  if (part.plan.chains.empty()) {
    log_warning("no network has all its folds: nothing is gathered");
    return "";
  }
  std::string table = finish_models(part, directory, journal, check_stop);
  for (const std::string& model : left_out) table += model + "\n";
  return table;
}

void print_result(const RunDirectory& directory, const std::string& table) {
  std::printf("\n%s\n", table.c_str());
  if (std::filesystem::exists(directory.report()))
    std::printf("report: %s\n", directory.report().c_str());
  std::fflush(stdout);
}

void tell_failures(const RunDirectory& directory, const RunSummary& summary) {
  record_failures(directory.failure(), summary);
  for (const FailedChain& failed : summary.failed)
    log_error("{} was set aside: {}", failed.chain, failed.error.message());
}

/// The journal's last record, and what people see of how it went.
/// @param table for the user; empty: there is none
void conclude(const PreparedRun& run, const RunDirectory& directory, const RunSummary& summary,
              const std::string& table, Journal& journal, StatusWriter& status,
              const ReportTools& tools) {
  JournalRecord record;
  record.kind = JournalRecord::Kind::kRunFinished;
  record.exit_code = summary.exit_code;
  if (summary.interrupted) {
    log_warning("interrupted: {} of {} chains are finished; the same command goes on from here",
                summary.num_known + summary.num_finished, run.plan.chains.size());
    journal.append(record);
    status.set_phase("interrupted");
    return;  // `baleen report` draws its page at any time; now there is none
  }
  if (summary.exit_code != 0) tell_failures(directory, summary);
  journal.append(record);
  status.set_phase("report");
  write_run_report(directory, run, tools);
  if (!table.empty()) print_result(directory, table);
}

}  // namespace

PreparedRun open_run_data(const Recipe& recipe, bool stage) {
  const std::string& folder = recipe.training.stage_to;
  const auto open = [&](const std::string& path) {
    return PackedDataset::open(stage && !folder.empty() ? stage_dataset(path, folder)
                                                        : std::filesystem::path(path));
  };
  PreparedRun run;
  run.recipe = recipe;
  run.dataset = open(recipe.dataset);
  if (!recipe.test.empty()) run.test = open(recipe.test);
  run.training = open_training_data(recipe, *run.dataset, open);
  run.task = make_task(recipe, run.dataset, run.training.table(run.dataset));
  std::vector<int64_t> rows(static_cast<size_t>(run.dataset->size()));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  run.subject = fold_subject(*sample_table(run.dataset), rows);
  run.folds = make_folds(run.task->fold_subject(run.subject, recipe.folds), recipe.folds);
  run.task->check_folds(run.folds);
  return run;
}

void plan_run(PreparedRun& run, const Recipe& recipe, const Extensions* extensions,
              FileDigests& digests) {
  run.recipe = recipe;
  check_targets(run, extensions);
  check_variants(run);
  check_precision(recipe);
  check_learning(run);
  check_exclusive(run);
  run.plan = make_plan(recipe, facts_of(run, digests));
}

PreparedRun prepare_run(const Recipe& recipe, const Extensions* extensions, bool stage) {
  if (recipe.trials) return prepare_sweep(recipe, extensions, stage);
  PreparedRun run = open_run_data(recipe, stage);
  FileDigests digests;
  plan_run(run, recipe, extensions, digests);
  return run;
}

int run_recipe(const RunRequest& request, const Extensions& extensions, MpiEnvironment& mpi) {
  const auto world = mpi.world();
  mpi.set_activity("opening the data and making the plan");
  const std::shared_ptr<AlarmPlace> alarms = watch_run(request.recipe.reliability, mpi);
  at::set_num_threads(static_cast<int>(request.recipe.training.threads_per_rank));
  const PreparedRun run =
      agreed(*world, [&] { return prepare_run(request.recipe, &extensions, true); });
  agree_on_plugins(extensions, *world);
  agree_on_plan(run.plan, *world);
  choose_kernels(run.recipe.training);
  if (mpi.rank() == 0) {
    for (const std::string& warning : run.folds.warnings) log_warning("{}", warning);
  }
  const RunDirectory directory(request.resume.path.empty() ? run.recipe.run_directory()
                                                           : request.resume.path);
  Ownership own = take_ownership(run, request, directory, *world);
  ReportTools tools{.backbones = &extensions.backbones};
  tools.check_stop = [&request] {
    if (request.stop_requested && request.stop_requested()) throw_interrupted();
  };
  const std::string table_file = (directory.stack() / "scores.txt").string();
  if (own.complete) {
    if (mpi.rank() == 0) {
      std::printf(
          "%s is complete: nothing to do. (another run_dir, or --resume never with a fresh one, "
          "starts anew)\n",
          directory.root().c_str());
      if (!std::filesystem::exists(directory.report())) write_run_report(directory, run, tools);
      if (std::filesystem::exists(table_file)) print_result(directory, read_file(table_file));
    }
    return 0;
  }
  alarms->set(directory);
  if (request.directory_opened) request.directory_opened(directory);
  const std::vector<std::string> hosts = world->all_gather(mpi.host());
  on_first_rank(*world, [&] {
    record_start(run, request, extensions, directory, mpi, hosts, own.journal.get());
  });

  ChainContext context;
  context.recipe = &run.recipe;
  context.extensions = &extensions;
  context.task = run.task.get();
  context.dataset = run.dataset;
  context.test = run.test;
  context.training = &run.training;
  context.folds = &run.folds;
  context.directory = directory;
  context.plan_hash = run.plan.hash;
  context.set_activity = [&mpi](const std::string& text, double limit_s) {
    mpi.set_activity(text, limit_s);
  };
  context.self = {mpi.rank(), mpi.host()};
  const SweepChains::MakeExecutor make_executor = [](ChainContext of_run) {
    return std::make_unique<ClassificationChains>(std::move(of_run));
  };
  const std::unique_ptr<ChainExecutor> executor =
      run.sweep ? std::make_unique<SweepChains>(run.sweep, context, make_executor)
                : make_executor(context);

  RunSummary summary;
  std::optional<StatusWriter> status;
  {
    std::optional<RunProgressDisplay> display;
    std::optional<SweepSupply> supply;
    if (mpi.rank() == 0) {
      const double cost =
          run.sweep ? expected_plan(*run.sweep, run.plan, own.journal->state()).cost() : 0;
      display.emplace(run.plan, own.finished, cost);
      status.emplace(directory.status(), run.plan, hosts, own.journal->state(), cost);
      if (run.sweep) supply.emplace(*run.sweep, *own.journal);
    }
    WorkerOptions worker;
    worker.rank = mpi.rank();
    worker.host = mpi.host();
    worker.stop_requested = request.stop_requested;
    CoordinatorOptions coordinator;
    coordinator.num_ranks = mpi.size();
    coordinator.retries = static_cast<int>(run.recipe.reliability.retries);
    coordinator.stop_requested = request.stop_requested;
    if (mpi.rank() == 0) coordinator.observers = {&*display, &*status};
    if (supply) coordinator.supply = &*supply;
    summary = run_chains(
        run.plan, own.journal.get(), *mpi.control(),
        [&mpi](const std::vector<int>& members, int tag) { return mpi.make_group(members, tag); },
        *executor, worker, coordinator);
  }
  std::string table;  // on rank 0
  if (summary.all_tried()) {
    mpi.set_activity("stacking and reporting");
    if (status) status->set_phase("stacking");
    try {
      if (run.sweep)
        finish_trials(run, directory, own.journal.get(), finish, request.stop_requested, *world,
                      *mpi.control());
      work_on_first_rank(*world, *mpi.control(), request.stop_requested,
                         [&](const CheckStop& check_stop) {
                           table = finish(run, directory, *own.journal, check_stop);
                           check_stop();
                           if (!table.empty()) write_file_atomically(table_file, table);
                           if (summary.exit_code == 0) drop_checkpoints(run, directory);
                         });
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kInterrupted) {
        // What fails now must not hide which chains did.
        if (mpi.rank() == 0) tell_failures(directory, summary);
        throw;
      }
      summary.interrupted = true;
      summary.exit_code = exit_code(ErrorKind::kInterrupted);
    }
  }
  mpi.set_activity("at the end");
  on_first_rank(*world,
                [&] { conclude(run, directory, summary, table, *own.journal, *status, tools); });
  return summary.exit_code;
}

}  // namespace baleen
