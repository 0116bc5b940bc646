// Every verb, by the file that has it.
#pragma once
#include "tools/cli/verb.h"

namespace fovea::cli {

extern const Verb kVersion, kDevices, kTrainLm, kGenerate, kCkptLs, kCkptShow, kCkptVerify, kCkptDiff, kBench, kTrace,
    kCompletion, kGradcheck, kOps, kOp;

// In the order of the help.
inline constexpr const Verb* kVerbs[] = {
    &kVersion,  &kDevices, &kTrainLm, &kGenerate,  &kCkptLs, &kCkptShow, &kCkptVerify,
    &kCkptDiff, &kBench,   &kTrace,   &kGradcheck, &kOps,    &kOp,       &kCompletion,
};

}  // namespace fovea::cli
