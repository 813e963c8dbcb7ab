// Package picture owns the picture of a benchmark run: what was reached of the table of figures, and a panel of bars for each kind of
// workload with the spread of each bar and the ceilings, as SVG and as PNG.
//
// It promises that both show the same, that nothing overlaps however many workloads and contenders there are, and that the same record gives
// the same SVG, byte for byte. A sheet (rectangles and texts with their places) is laid out once and then written in both forms.
//
// Why no module for charts: gonum.org/v1/plot would be the well-kept one, and writes both forms. Its bar chart knows neither missing bars
// nor horizontal whiskers beside grouped bars nor a legend that makes room for itself, so that all of the layout here would be written
// all the same, on top of eight more modules (a PDF writer and LaTeX among them). What is left below the layout, rectangles and
// texts, is little: the SVG is text, and golang.org/x/image has the font (with the widths of its letters) and draws it for the PNG.
//
// Values are not shared: each call lays out a picture of its own. Calls may run side by side.
package picture
