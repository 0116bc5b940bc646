// Every verb, by the file that has it.
#pragma once
#include "tools/cli/verb.h"

namespace fovea::cli {

extern const Verb kVersion, kDevices, kOps, kInfo, kTrainLm, kGenerate, kEvalPpl, kGradcheck, kOp, kTrace, kTraceDiff,
    kCkptLs, kCkptShow, kCkptVerify, kCkptDiff, kBench, kCompletion;

// In the order of the help.
inline constexpr const Verb* kVerbs[] = {
    &kVersion, &kDevices,   &kOps,    &kInfo,     &kTrainLm,    &kGenerate, &kEvalPpl, &kGradcheck,  &kOp,
    &kTrace,   &kTraceDiff, &kCkptLs, &kCkptShow, &kCkptVerify, &kCkptDiff, &kBench,   &kCompletion,
};

}  // namespace fovea::cli
