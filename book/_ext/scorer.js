// How search ranks pages. Chapters hold nearly every word a reader may type, each on several pages; the pages that
// answer questions and tell what to do are few, and come first where both match.
var Scorer = {
  score: ([docname, title, anchor, description, score]) => score + (docname.split("/").length < 3 ? 10 : 0),
  // Sphinx's own weights of a match.
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
