# Bash completion of cohort: verbs, their own verbs and flags, read from --help; else files.
_cohort() {
  local word=${COMP_WORDS[COMP_CWORD]} program=${COMP_WORDS[0]} help i
  local verbs=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ ${COMP_WORDS[i]} == [a-z]* ]] && [[ $("$program" "${verbs[@]}" "${COMP_WORDS[i]}" --help 2>/dev/null) ]] || break
    verbs+=("${COMP_WORDS[i]}")
  done
  help=$("$program" "${verbs[@]}" --help 2>/dev/null)
  if [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(grep -oE -- '(^|[ ,])--[a-z][a-z0-9-]*' <<<"$help" | tr -d ' ,')" -- "$word")
  elif [[ $help == *Subcommands:* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(sed -n '/^Subcommands:/,$s/^  \([a-z]\+\).*/\1/p' <<<"$help")" -- "$word")
  fi
}
complete -o default -F _cohort cohort
