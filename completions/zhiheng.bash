# Completion of zhiheng for bash. Names of suites, models and policies come from the program itself.

_zhiheng_names() {
  zhiheng list "$1" 2>/dev/null | cut -d ' ' -f 1
}

_zhiheng() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]:-}
  local commands="doctor list run show audit model data eval contamination stats rank compare registry policy checklist evaluate report verify help"
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$word")
    return
  fi
  case $before in
    --policy) mapfile -t COMPREPLY < <(compgen -W "$(_zhiheng_names policies)" -- "$word"); return ;;
    --model) mapfile -t COMPREPLY < <(compgen -f -W "$(_zhiheng_names models)" -- "$word"); return ;;
    --packed-cache) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
    --device) mapfile -t COMPREPLY < <(compgen -W "cpu gpu gpu:0 gpu:1 auto" -- "$word"); return ;;
    --answers) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    --tasks) mapfile -t COMPREPLY < <(compgen -f -W "$(_zhiheng_names tasks)" -- "$word"); return ;;
    --include | --data | --corpus) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
    --lang) mapfile -t COMPREPLY < <(compgen -W "zh en" -- "$word"); return ;;
    --inject) mapfile -t COMPREPLY < <(compgen -W "fault=weight fault=token fault=activation fault=clock fault=cache fault=stale fault=layer fault=layers fault=swap fault=precision fault=expert fault=experts fault=tile" -- "$word"); return ;;
    --type) mapfile -t COMPREPLY < <(compgen -W "f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q4_k mxfp4" -- "$word"); return ;;
    --launcher) mapfile -t COMPREPLY < <(compgen -W "direct mpirun srun" -- "$word"); return ;;
    --definitions) mapfile -t COMPREPLY < <(compgen -W "lm-eval opencompass" -- "$word"); return ;;
    --fewshot-as-multiturn) mapfile -t COMPREPLY < <(compgen -W "true false" -- "$word"); return ;;
  esac
  if [[ $word == -* ]]; then
    # the long options that the command's own help names
    mapfile -t COMPREPLY < <(compgen -W "$(zhiheng "$command" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]*' | sort -u)" \
      -- "$word")
    return
  fi
  if [ "$COMP_CWORD" -eq 2 ]; then
    case $command in
      help) mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word"); return ;;
      list) mapfile -t COMPREPLY < <(compgen -W "suites workloads backends models policies tasks" -- "$word"); return ;;
      run) mapfile -t COMPREPLY < <(compgen -f -W "$(_zhiheng_names suites)" -- "$word"); return ;;
      registry) mapfile -t COMPREPLY < <(compgen -W "scores models benchmarks check" -- "$word"); return ;;
      data) mapfile -t COMPREPLY < <(compgen -W "check score" -- "$word"); return ;;
      policy) mapfile -t COMPREPLY < <(compgen -W "check" -- "$word"); return ;;
      stats) mapfile -t COMPREPLY < <(compgen -W "help $(zhiheng stats help 2>/dev/null | grep -oE "^[a-z][a-z-]*")" -- "$word"); return ;;
      model) mapfile -t COMPREPLY < <(compgen -W "tokenize logits generate perplexity convert" -- "$word"); return ;;
      audit) mapfile -t COMPREPLY < <(compgen -f -W "$(_zhiheng_names models)" -- "$word"); return ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -f -- "$word")
}

complete -o filenames -F _zhiheng zhiheng
