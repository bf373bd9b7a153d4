//! What every experiment shares: from flags to a record with its provenance, tables and charts, exit codes. The top
//! floor of the library: it may import every other room, none imports it, and mathematics belongs below. Begin with
//! [`experiment`], which an experiment fills in, and [`run`], what happens to it.
//!
//! | file | what |
//! |---|---|
//! | [`experiment`] | an experiment as a value, and its program |
//! | [`agreement`] | how near two results are |
//! | [`run`] | one run, from its flags to its record |
//! | [`record`] | `result.json`, with provenance |
//! | [`table`] | rows as CSV |
//! | [`chart`] | curves with error bars, as SVG |
//! | [`heat_map`] | matrices in greys, as SVG |
//! | [`overlay`] | maps and masks of patches on their picture |
//! | [`device`] | CPU or GPU |
//! | [`training`] | training from the command line |
//! | [`course`] | what a training shows and writes as it goes, whatever it trains |
//! | [`tensorboard`] | the same as event files |
//! | [`comparison`] | variants trained from the same seeds, and their differences |
//! | [`networks`] | the networks an experiment trains, kept until it is done |
//! | [`subject`] | the images and networks an experiment looks at |
//! | [`layer_curves`] | curves over layers: measured, printed, drawn, written |
//! | [`console`] | flags every experiment takes, progress, exit codes |

pub mod agreement;
pub mod chart;
pub mod comparison;
pub mod console;
pub mod course;
pub mod device;
pub mod experiment;
pub mod heat_map;
pub mod layer_curves;
pub mod networks;
pub mod overlay;
pub mod record;
pub mod run;
pub mod subject;
pub mod table;
pub mod tensorboard;
pub mod training;
