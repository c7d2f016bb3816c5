//! Reading probes on a GPU, held to the CPU. One test, because every process compiles the device's programs anew.

use pythia_core::device::DeviceName;

#[test]
#[ignore = "needs a GPU or a software Vulkan driver"]
fn reading_probes_say_on_a_gpu_what_they_say_on_the_cpu() {
    let device = DeviceName::Wgpu(0).open().expect("a GPU").device;
    crate::sums::tests::agree(&device);
    crate::probes::head_scores::agree(&device);
    crate::probes::logit_lens::agree(&device);
    crate::families::reading::tests::agree(&device, 1e-5);
}
